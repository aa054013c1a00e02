"""Hidden patches of images: what a network learns when nobody looks at labels.

Most patches of an image are hidden, and told from the few that are seen. The loss stands beside
those of two who see nothing of the image: the mean patch of train at each place, and each hidden
patch's own mean, which they are given. Where labels exist, a linear map of the frozen features is
held against them at every check; the network never learns from them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from headstart.model.reconstruction import PatchTeller
from headstart.objectives.masked_pixels import (
    LEAST_VARIANCE,
    chosen,
    images_of,
    patch_losses,
    patch_targets,
    patches_of,
)
from headstart.pretraining.hiding import LOOKED_AT, Hiding, seen_images, some_of
from headstart.pretraining.images import Images
from headstart.pretraining.objective import GAIN, Learned, Learner, Shown
from headstart.pretraining.pictures import as_shown, hide
from headstart.pretraining.probe import ridge_probe
from headstart.pretraining.step_precision import unstepped
from headstart.tasks import array_of, find_task
from headstart.tensors import evaluating, to_tensors
from headstart.training.batches.feed import Batch
from headstart.training.batches.masked_feed import HELD_OUT, MaskedFeed, mask_order
from headstart.training.batches.order import Share
from headstart.training.contract import Check, StopRequested, never
from headstart.training.machine.kernels import stepping
from headstart.training.options.recipe import Recipe
from headstart.types import Finding, Inputs, Ragged

MEAN_PATCH, OWN_MEAN = "the mean patch of train", "each patch's own mean, given"
LEAST_GAIN = 0.3  # of the mean patch's loss: with less, little was learned
_BATCH = 256  # images of a pass without gradients
_NUM_SHOWN = 8
_MOST_PIXELS = 4_096  # numbers of an image, up to which a linear map of them is held against it


class PixelLearner(Learner):
    """A network that tells hidden patches, with the images that it learns from.

    Args:
        module: Encoder and decoder, on their device.
        recipe: Every training option.
        images: The corpus.
        inputs: Train and val, prepared.
        hiding: What is hidden and told.
        num_checked: Held-out images of a check, and images of train that the probe is fitted to.
    """

    module: PatchTeller

    def __init__(
        self,
        module: PatchTeller,
        recipe: Recipe,
        images: Images,
        inputs: tuple[Inputs, Inputs],
        hiding: Hiding,
        num_checked: int,
    ) -> None:
        self.module, self.recipe, self.images, self.hiding = module, recipe, images, hiding
        self.train, self.val = inputs
        self.num_samples, self.num_checked = len(self.train), num_checked
        self._device = next(module.parameters()).device
        self._forward = torch.compile(module) if recipe.compile else module
        self._first_probe: float | None = None
        self._last_probe: float | None = None

    def feed(self, share: Share) -> MaskedFeed:
        """Return the batches of all steps, of which a share is this process's."""
        return MaskedFeed(self.train, self.recipe, self._device, self.module.num_patches, share)

    def compute_loss(self, batch: Batch) -> Tensor:
        """Return the mean squared error over the hidden patches of a micro-batch, shape ()."""
        images, order = batch.inputs
        with torch.no_grad():
            images = self.module.normalised(images)
            targets = self._hidden_targets(images, order)
        with stepping(self.recipe, self._device):
            told = self._forward(images, order, self.hiding.num_seen)
        return patch_losses(told, targets).mean()

    def validate(self, stop_requested: Callable[[], bool]) -> Check:
        """Return what share of the mean patch's loss is gone, on held-out images.

        Raises:
            StopRequested: If someone asked to stop.
        """
        self._renew()
        losses = self._held_out_losses(stop_requested)
        trivial = self.trivial[MEAN_PATCH]
        error = float(losses.std() / np.sqrt(len(losses)) / trivial)
        loss = float(losses.mean())
        beside = {}
        if self._can_probe:
            name, score = self._probe(stop_requested)
            self._first_probe = score if self._first_probe is None else self._first_probe
            self._last_probe = beside[name] = score
        return Check(1 - loss / trivial, loss, error, GAIN, beside=beside)

    def conclude(self) -> Learned:
        """Return the loss beside the trivial ones, the probe, and pictures."""
        losses = self._held_out_losses(never)
        mean = float(losses.mean())
        half = 1.96 * float(losses.std()) / max(1.0, np.sqrt(len(losses)))
        figures: dict[str, dict[str, float]] = {}
        if self._can_probe:
            name, score = self._probe(never)
            self._last_probe = score
            figures[name] = _with_error(score, min(self.num_checked, len(self.val)))
            if (known := self._pixel_probe()) is not None:
                figures[f"{name}, of pixels"] = _with_error(
                    known, min(self.num_checked, len(self.val))
                )
        return Learned(
            {"value": mean, "low": mean - half, "high": mean + half},
            self.trivial,
            figures,
            self._shown(),
            (*self.train.findings, *self._findings(1 - mean / self.trivial[MEAN_PATCH])),
            (*self.train.bad_samples, *self.val.bad_samples),
        )

    def about(self) -> dict[str, object]:
        """Return what was hidden and told."""
        return {
            "mask_fraction": 1 - self.hiding.num_seen / self.module.num_patches,
            "target": "normalised" if self.hiding.is_normalised else "pixels",
            "patch_size": self.module.side,
        }

    @cached_property
    def trivial(self) -> dict[str, float]:
        """The loss of two who see nothing of an image, on the same held-out patches."""
        module = self.module
        seen = patches_of(seen_images(module, self.train, LOOKED_AT), module.side)
        mean = self._targets(seen).mean(dim=0, keepdim=True)
        sums, num = {MEAN_PATCH: 0.0, OWN_MEAN: 0.0}, 0
        for images, order in self._held_out():
            targets = self._hidden_targets(images, order)
            hidden = order[:, self.hiding.num_seen :]
            guesses = {
                MEAN_PATCH: chosen(mean.expand(len(images), -1, -1), hidden),
                OWN_MEAN: targets.mean(dim=-1, keepdim=True).expand_as(targets),
            }
            for name, guess in guesses.items():
                sums[name] += float(patch_losses(guess, targets).sum())
            num += len(images)
        # where all images are one, nothing is left to be told
        return {name: max(total / num, 1e-9) for name, total in sums.items()}

    def _targets(self, patches: Tensor) -> Tensor:
        return patch_targets(patches, is_normalised=self.hiding.is_normalised)

    def _hidden_targets(self, images: Tensor, order: Tensor) -> Tensor:
        """Return what is to be told of the hidden patches, shape (B, T - K, P)."""
        hidden = order[:, self.hiding.num_seen :]
        return self._targets(chosen(patches_of(images, self.module.side), hidden))

    def _held_out(self, stop_requested: Callable[[], bool] = never) -> list[tuple[Tensor, Tensor]]:
        """Return the held-out images of a check as the encoder sees them, with their masks.

        Raises:
            StopRequested: If someone asked to stop.
        """
        places, found = some_of(len(self.val), self.num_checked), []
        for start in range(0, len(places), _BATCH):
            if stop_requested():
                raise StopRequested
            some = places[start : start + _BATCH]
            order = mask_order(
                self.recipe.seed, HELD_OUT, self.val.ids[some], self.module.num_patches
            )
            found.append((self._seen(self.val, some), torch.from_numpy(order).to(self._device)))
        return found

    def _seen(self, inputs: Inputs, places: np.ndarray) -> Tensor:
        (images,) = to_tensors(inputs.arrays(places), self._device, channels_last=False)
        with torch.no_grad():
            return self.module.normalised(images)

    def _renew(self) -> None:
        """Bring what the encoder keeps of the images it saw to whole ones."""
        places = some_of(len(self.train), self.num_checked)
        parts = np.array_split(places, -(-len(places) // _BATCH))  # none of one image alone
        self.module.renew(self._seen(self.train, part) for part in parts)

    def _held_out_losses(self, stop_requested: Callable[[], bool]) -> np.ndarray:
        """Return the loss of each held-out image of a check, float64, shape (M,)."""
        found = []
        with evaluating(self.module), stepping(unstepped(self.recipe), self._device):
            for images, order in self._held_out(stop_requested):
                told = self.module(images, order, self.hiding.num_seen)
                found.append(patch_losses(told, self._hidden_targets(images, order)).cpu().numpy())
                if stop_requested():
                    raise StopRequested
        return np.concatenate(found).astype(np.float64)

    # The probe ----------------------------------------------------------------------------------

    @cached_property
    def _can_probe(self) -> bool:
        """Whether there are labels that a linear map can be held against."""
        return self.images.has_labels and not isinstance(self.train.targets, Ragged)

    @property
    def _probed(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of train and of val."""
        return some_of(len(self.train), self.num_checked), some_of(len(self.val), self.num_checked)

    def _probe(self, stop_requested: Callable[[], bool]) -> tuple[str, float]:
        """Return what the score is called, and it, of the encoder as it is now."""
        places, held_out = self._probed
        return self._judged(
            self._features(self.train, places, stop_requested),
            self._features(self.val, held_out, stop_requested),
        )

    def _judged(self, features: np.ndarray, val_features: np.ndarray) -> tuple[str, float]:
        places, held_out = self._probed
        targets, wanted = (
            array_of(inputs.targets)[chosen_places]
            for inputs, chosen_places in ((self.train, places), (self.val, held_out))
        )
        is_classes = find_task(self.images.dataset.schema.task).is_exclusive
        name = "probe_accuracy" if is_classes else "probe_r2"
        if not is_classes:
            targets, wanted = targets.astype(np.float64), wanted.astype(np.float64)
        return name, ridge_probe(features, targets, val_features, wanted)

    def _features(
        self, inputs: Inputs, places: np.ndarray, stop_requested: Callable[[], bool]
    ) -> np.ndarray:
        """Return features of whole images, float32, shape (N, D)."""
        found = []
        with evaluating(self.module.encoder), stepping(unstepped(self.recipe), self._device):
            for start in range(0, len(places), _BATCH):
                if stop_requested():
                    raise StopRequested
                images = self._seen(inputs, places[start : start + _BATCH])
                found.append(self.module.encoder(images).float().cpu().numpy())
        return np.concatenate(found)

    def _pixel_probe(self) -> float | None:
        """Return the same score of the pixels themselves; None where they are too many."""
        places, held_out = self._probed
        if self._seen(self.val, held_out[:1]).numel() > _MOST_PIXELS:
            return None
        of_train, of_val = (
            self._seen(inputs, chosen_places).flatten(1).cpu().numpy()
            for inputs, chosen_places in ((self.train, places), (self.val, held_out))
        )
        return self._judged(of_train, of_val)[1]

    # What is said at the end --------------------------------------------------------------------

    def _findings(self, gain: float) -> tuple[Finding, ...]:
        """Return where little was learned."""
        found = []
        if gain < LEAST_GAIN:
            sentence = (
                f"Of the loss of the mean patch {max(gain, 0):.0%} is gone; expected more than "
                f"{LEAST_GAIN:.0%}. Little was learned of these images: give it more time or more "
                f"images."
            )
            found.append(Finding("pretraining", "warning", (), sentence))
        first, last = self._first_probe, self._last_probe
        if first is not None and last is not None and last <= first:
            sentence = (
                f"A linear map of the features tells no more of the labels than at the first look "
                f"({first:.3f}, now {last:.3f})."
            )
            found.append(Finding("pretraining", "warning", (), sentence))
        return tuple(found)

    def _shown(self) -> list[Shown]:
        """Return some held-out images: as they are, what was seen, what was told."""
        module, num_seen = self.module, self.hiding.num_seen
        places = some_of(len(self.val), self.num_checked)[:_NUM_SHOWN]
        (images,) = to_tensors(self.val.arrays(places), self._device, channels_last=False)
        order = torch.from_numpy(
            mask_order(self.recipe.seed, HELD_OUT, self.val.ids[places], module.num_patches)
        ).to(self._device)
        with evaluating(module):
            seen = module.normalised(images)
            told = module(seen, order, num_seen).float()
        spec_patches = patches_of(seen, module.side)
        whole = spec_patches.clone()
        hidden = order[:, num_seen:]
        if self.hiding.is_normalised:
            own = chosen(spec_patches, hidden)
            variance = own.var(dim=-1, keepdim=True, unbiased=False)
            told = told * (variance + LEAST_VARIANCE).sqrt() + own.mean(dim=-1, keepdim=True)
        whole.scatter_(1, hidden[..., None].expand_as(told), told)
        channels = seen.shape[1]
        mean, std = (getattr(module.normaliser, name) for name in ("mean", "std"))

        def picture(patches: Tensor) -> Tensor:
            return images_of(patches[None], module.side, channels)[0]

        shown = []
        plain = patches_of(seen * std + mean, module.side)
        rebuilt = patches_of(images_of(whole, module.side, channels) * std + mean, module.side)
        for row, place in enumerate(places):
            parts = {
                "original": picture(plain[row]),
                "seen": picture(hide(plain[row], hidden[row])),
                "told": picture(rebuilt[row]),
            }
            shown.append(as_shown(self.val.names[int(place)], parts))
        return shown


def _with_error(score: float, num: int) -> dict[str, float]:
    """Return a score with a 95 % interval of so many items."""
    half = 1.96 * (max(score * (1 - score), 0.0) / max(1, num)) ** 0.5
    return {"value": score, "low": max(0.0, score - half), "high": min(1.0, score + half)}
