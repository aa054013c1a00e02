"""Augment a batch on the device, each sample from its own counter-based numbers.

All geometry of a policy is one affine map a sample, applied with one bilinear ``grid_sample``, or,
where it only flips and shifts by whole pixels, one gather of pixels; then colour, then a cut-out
square. Policies fit the data: digits and letters are never mirrored.

Left out on purpose: policies that must be searched or tuned (AutoAugment), and anything that needs
a decoded file. TrivialAugment's photometric range is what ``standard`` covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.tensors import to_device
from headstart.training.batches.directions import find_direction
from headstart.training.options.common_options import AugmentName
from headstart.training.randomness import MIX, generator, uniform

_NUM_DRAWS, _FLIP = 12, 6
_LARGEST = np.float32(1 - 2.0**-24)  # that is drawn: minus a draw it lies on the half's other side
_DIGIT_NAMES = frozenset(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
)


@dataclass(frozen=True)
class Policy:
    """Ranges of an augmentation; zero switches a part off.

    Attributes:
        flip: Whether to mirror left-right, in every other epoch.
        rotate_degrees: Rotation drawn from ± this.
        translate: Shift drawn from ± this share of the side.
        crop_scale: Smallest share of the area kept by a random resized crop; 1 keeps all.
        zoom: Scale drawn from 1 ± this.
        colour: Brightness, contrast and saturation factors drawn from 1 ± this.
        cutout: Side of a square set to the image's mean, as a share of the side.
        padding: What lies outside the image.
    """

    flip: bool = False
    rotate_degrees: float = 0.0
    translate: float = 0.0
    crop_scale: float = 1.0
    zoom: float = 0.0
    colour: float = 0.0
    cutout: float = 0.0
    padding: Literal["border", "reflection"] = "reflection"

    @property
    def moves_whole_pixels(self) -> bool:
        """Whether every pixel of the geometry's result is one of the image's."""
        return bool(self.flip or self.translate) and not self.resamples

    @property
    def resamples(self) -> bool:
        """Whether the geometry needs pixels between those of the image."""
        between = self.rotate_degrees or self.zoom or self.crop_scale < 1
        return bool(between or (self.translate and self.padding != "reflection"))


POLICIES: dict[str, Policy | None] = {
    "none": None,
    # strokes keep their meaning under small moves, never under mirroring
    "digits": Policy(rotate_degrees=10, translate=0.07, zoom=0.1, padding="border"),
    # pad-crop 4, flip and cutout, the usual choice at 32 pixels (DeVries and Taylor 2017)
    "light": Policy(flip=True, translate=0.125, cutout=0.25),
    # random resized crop, flip, colour: the common fine-tuning policy at 64 pixels and more
    "standard": Policy(flip=True, crop_scale=0.4, colour=0.2),
    # the same where a mirror image would be something else; what is beyond an edge is no mirror
    # image either
    "light-unmirrored": Policy(translate=0.125, cutout=0.25, padding="border"),
    "standard-unmirrored": Policy(crop_scale=0.4, colour=0.2),
    # where a number is told: a large shift changes a place or an angle as a mirror does, and other
    # colours a brightness (docs/experiments.md)
    "gentle": Policy(translate=0.03, zoom=0.04, padding="border"),
    # what hides patches wants no more: MAE (He et al., CVPR 2022), table 1e
    "crop": Policy(flip=True, crop_scale=0.5),
    "crop-unmirrored": Policy(crop_scale=0.5),
}


def describe_policy(policy: Policy | None) -> list[str]:
    """Return what a policy does to an image, a part a sentence.

    Example:
        >>> describe_policy(POLICIES["gentle"])[0]
        'never mirrored'
    """
    if policy is None:
        return ["nothing is changed: every epoch sees the same pixels"]
    parts = [
        ("mirrored left to right, in every other epoch" if policy.flip else "never mirrored", 1.0),
        (f"turned by up to ±{policy.rotate_degrees:g}°", policy.rotate_degrees),
        (f"shifted by up to {policy.translate:.1%} of the side", policy.translate),
        (f"cropped to {policy.crop_scale:.0%} to 100% of the area", policy.crop_scale < 1),
        (f"zoomed by up to ±{policy.zoom:.0%}", policy.zoom),
        (f"brightness, contrast and saturation by up to ±{policy.colour:.0%}", policy.colour),
        (f"a square of {policy.cutout:.0%} of the side is hidden", policy.cutout),
    ]
    return [words for words, is_on in parts if is_on]


def choose_policy(
    image_size: tuple[int, int],
    channels: int,
    classes: Sequence[str] = (),
    *,
    has_classes: bool = True,
    has_captions: bool = False,
) -> tuple[AugmentName, str]:
    """Return the policy that is safe for the data, and why.

    Args:
        image_size: Height and width of the data's images, in pixels.
        channels: 1 or 3.
        classes: Class names; single characters mean that the images show characters.
        has_classes: Whether the task tells classes; a number may change its sign in a mirror.
        has_captions: Whether texts describe the images, which may say left and right.
    """
    side = min(image_size)
    if classes and all(len(name) == 1 or name in _DIGIT_NAMES for name in classes):
        return "digits", "the classes are named like digits or letters, which a flip would change"
    if channels == 1 and side <= 64:
        return "digits", "small grey images may be digits or letters, which a flip would change"
    size: Literal["light", "standard"] = "light" if side <= 40 else "standard"
    why = f"images of {side} pixels"
    if not has_classes:
        changes = "make a caption untrue" if has_captions else "change a number"
        return "gentle", (
            f"a mirror image or a large shift may {changes}; where they do not, --augment "
            f"{size} learns more"
        )
    name = find_direction(classes)
    if name is None:
        return size, why
    unmirrored: AugmentName = "light-unmirrored" if size == "light" else "standard-unmirrored"
    return unmirrored, (
        f"{why}, and a mirror image may turn the class '{name}' into another; where it does not, "
        f"--augment {size} mirrors"
    )


def augment(images: Tensor, ids: np.ndarray, policy: Policy, *, seed: int, epoch: int) -> Tensor:
    """Return an augmented copy of a batch.

    Args:
        images: Float images, shape (B, C, H, W), in [0, 1].
        ids: int64, shape (B,), the samples' ids; a sample's result depends on its own id only.
        policy: What to draw from.
        seed: The run's seed.
        epoch: Epoch or view number.

    Returns:
        Float images, shape (B, C, H, W), in [0, 1].
    """
    draws, given = uniform(seed, epoch, ids, _NUM_DRAWS), images
    if policy.flip:
        draws[:, _FLIP] = _sides(seed, epoch, ids)
    height, width = images.shape[-2:]
    if policy.moves_whole_pixels:
        images = _moved(images, draws, policy)
    elif policy.resamples:
        theta = _affine(to_device(torch.from_numpy(draws), images.device), policy, height, width)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        images = functional.grid_sample(
            images, grid, mode="bilinear", padding_mode=policy.padding, align_corners=False
        )
    if policy.colour:
        images = _jitter(images, draws[:, 7:10], policy.colour)
    if policy.cutout:
        images = _cut_out(images.clone() if images is given else images, draws, policy.cutout)
    return images


def _sides(seed: int, epoch: int, ids: np.ndarray) -> np.ndarray:
    """Return what decides on mirroring, float32, shape (B,): each side in every other epoch.

    Drawn once a sample, so that two epochs in a row see both sides of all samples.

    Source: Jordan 2024 (arXiv 2404.00498), §3.6, "alternating flip".
    """
    first = uniform(seed, 0, ids, _FLIP + 1)[:, _FLIP]
    return _LARGEST - first if epoch % 2 else first


def _affine(draws: Tensor, policy: Policy, height: int, width: int) -> Tensor:
    """Return the maps from output to input coordinates, shape (B, 2, 3)."""
    centred = draws * 2 - 1
    angle = centred[:, 0] * (policy.rotate_degrees * np.pi / 180)
    zoom = 1 + centred[:, 1] * policy.zoom
    # a random resized crop is a scale a side and a shift that keeps the crop inside the image
    area = 1 - draws[:, 2] * (1 - policy.crop_scale)
    ratio = torch.exp(centred[:, 3] * float(np.log(4 / 3))) if policy.crop_scale < 1 else 1.0
    scale_x = (torch.sqrt(area * ratio)).clamp(max=1.0) * zoom
    scale_y = (torch.sqrt(area / ratio)).clamp(max=1.0) * zoom
    shift_x, shift_y = centred[:, 4], centred[:, 5]
    if policy.crop_scale < 1:
        shift_x, shift_y = shift_x * (1 - scale_x), shift_y * (1 - scale_y)
    else:
        # whole pixels, so that an image that is only shifted stays as sharp as it was
        shift_x = torch.round(shift_x * policy.translate * width) * (2 / width)
        shift_y = torch.round(shift_y * policy.translate * height) * (2 / height)
    if policy.flip:
        scale_x = torch.where(draws[:, _FLIP] < 0.5, -scale_x, scale_x)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [cos * scale_x, -sin * scale_y, shift_x, sin * scale_x, cos * scale_y, shift_y]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _moved(images: Tensor, draws: np.ndarray, policy: Policy) -> Tensor:
    """Return images flipped and shifted, mirrored at their edges; they lie in memory as before.

    The same maps as ``_affine`` gives, without its rounding, in a fraction of the time.
    """
    num, channels, height, width = images.shape
    shift = (draws[:, 4:6] * 2 - 1) * policy.translate
    columns = np.arange(width)
    if policy.flip:
        columns = np.where(draws[:, _FLIP, None] < 0.5, columns[::-1], columns)
    columns = _mirrored(columns + np.round(shift[:, :1] * width), width)
    rows = _mirrored(np.arange(height) + np.round(shift[:, 1:] * height), height)
    rows = (rows + np.arange(num)[:, None] * height) * width
    # half the bytes, where they can count the pixels; the index is as large as the batch
    index = np.int32 if num * height * width < 2**31 else np.int64
    across, down = (
        to_device(torch.from_numpy(places.astype(index)), images.device)
        for places in (columns, rows)
    )
    # a row of pixels is copied whole; where a pixel is one number, numbers are copied faster
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels).squeeze(1)
    found = pixels.index_select(0, (down[:, :, None] + across[:, None, :]).view(-1))
    is_last = images.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_last else torch.contiguous_format
    moved = found.view(num, height, width, channels).permute(0, 3, 1, 2)
    return moved.contiguous(memory_format=layout)


def _mirrored(places: np.ndarray, side: int) -> np.ndarray:
    """Return places up to a side away brought back into the image; its edge is repeated."""
    around = np.arange(-side, 2 * side)
    back = np.where(around < 0, -1 - around, np.where(around < side, around, 2 * side - 1 - around))
    found: np.ndarray = back[places.astype(np.int64) + side]
    return found


def _jitter(images: Tensor, draws: np.ndarray, strength: float) -> Tensor:
    """Scale brightness, contrast and saturation, each by its own factor in 1 ± strength."""
    drawn = to_device(torch.from_numpy(np.ascontiguousarray(draws)), images.device)
    factors = (1 + (drawn * 2 - 1) * strength).view(-1, 3, 1, 1, 1)
    images = images * factors[:, 0]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factors[:, 1]
    if images.shape[1] == 3:
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * factors[:, 2]
    return images.clamp(0, 1)


def _cut_out(images: Tensor, draws: np.ndarray, share: float) -> Tensor:
    """Set a square at a random place, of a pixel at least, to the mean of its image; in place."""
    sides = np.array(images.shape[-2:])
    centres, half = draws[:, 10:12] * sides, share * sides / 2
    # places nearer to the centre than half a side; some come twice, so that all images have as many
    first = (np.floor(centres - half) + 1).clip(0, sides - 1)
    last = (np.ceil(centres + half) - 1).clip(first, sides - 1)
    inside = np.minimum(first[..., None] + np.arange(np.ceil(2 * half.max())), last[..., None])
    inside, (num, channels, _, width) = inside.astype(np.int64), images.shape
    square = (inside[:, 0, :, None] * width + inside[:, 1, None]).reshape(num, 1, -1)
    places = to_device(torch.from_numpy(square), images.device).expand(-1, channels, -1)
    if images.is_contiguous(memory_format=torch.channels_last):
        pixels = images.permute(0, 2, 3, 1).view(num, -1, channels).transpose(1, 2)
    else:
        pixels = images.view(num, channels, -1)
    means = images.mean(dim=(2, 3))[..., None]
    pixels.scatter_(2, places, means.expand(places.shape))  # they are the images' own memory
    return images


def mix(
    images: Tensor, *, mixup: float, cutmix: float, seed: int, step: int
) -> tuple[Tensor, Tensor | None, float]:
    """Mix each sample with its mirror in the batch (mixup or cutmix, drawn for the whole batch).

    Args:
        images: Float images, shape (B, C, H, W).
        mixup: Alpha of the Beta distribution of mixup; 0 switches it off.
        cutmix: Alpha of cutmix; 0 switches it off. With both, each is used half of the time.
        seed: The run's seed.
        step: Optimizer step.

    Returns:
        The images, the index of each sample's partner (None if nothing was mixed), and the share
        of the sample itself, in (0, 1].

    Source:
        Zhang et al., ICLR 2018; Yun et al., ICCV 2019.
    """
    if not (mixup or cutmix):
        return images, None, 1.0
    draws = generator(MIX, seed, step)
    use_cutmix = cutmix > 0 and (mixup == 0 or draws.random() < 0.5)
    share = float(draws.beta(cutmix, cutmix) if use_cutmix else draws.beta(mixup, mixup))
    partner = torch.arange(len(images) - 1, -1, -1, device=images.device)
    if not use_cutmix:
        return images * share + images[partner] * (1 - share), partner, share
    height, width = images.shape[-2:]
    cut = (1 - share) ** 0.5
    half_h, half_w = int(height * cut / 2), int(width * cut / 2)
    centre_y, centre_x = int(draws.integers(height)), int(draws.integers(width))
    top, bottom = max(0, centre_y - half_h), min(height, centre_y + half_h)
    left, right = max(0, centre_x - half_w), min(width, centre_x + half_w)
    images = images.clone()
    images[:, :, top:bottom, left:right] = images[partner][:, :, top:bottom, left:right]
    return images, partner, 1 - (bottom - top) * (right - left) / (height * width)
