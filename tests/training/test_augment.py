"""What augmentation may do to an image, and that it does so to each image on its own."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from headstart.training.batches.augment import (
    POLICIES,
    Policy,
    _affine,
    augment,
    choose_policy,
    mix,
)
from headstart.training.randomness import uniform


def images(num=16, channels=3, side=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num, channels, side, side, generator=generator)


@pytest.mark.parametrize("name", ["digits", "light", "standard"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_is_augmented_the_same_in_any_batch(name, channels):
    batch, ids = images(channels=channels), np.arange(100, 116)
    together = augment(batch, ids, POLICIES[name], seed=1, epoch=2)
    order = np.random.default_rng(0).permutation(16)[:5]
    apart = augment(batch[order], ids[order], POLICIES[name], seed=1, epoch=2)
    assert torch.allclose(together[order], apart, atol=1e-6)
    other = augment(batch, ids, POLICIES[name], seed=1, epoch=3)
    assert not torch.allclose(together, other, atol=1e-2)


@pytest.mark.parametrize("name", ["digits", "light", "standard"])
def test_the_range_stays_in_zero_to_one_and_the_input_is_left_alone(name):
    batch = images()
    kept = batch.clone()
    seen = augment(batch, np.arange(16), POLICIES[name], seed=0, epoch=0)
    assert seen.shape == batch.shape
    assert 0 <= seen.min() <= seen.max() <= 1
    assert torch.equal(batch, kept)


def test_the_policy_none_has_nothing_to_draw():
    assert POLICIES["none"] is None
    nothing = Policy()
    batch = images()
    assert torch.equal(augment(batch, np.arange(16), nothing, seed=0, epoch=0), batch)


def test_digits_are_never_mirrored():
    draws = torch.from_numpy(uniform(0, 0, np.arange(5_000), 12))
    theta = _affine(draws, POLICIES["digits"], 28, 28)
    assert theta[:, 0, 0].min() > 0.8
    assert theta[:, 1, 1].min() > 0.8
    # and on an image that has a left and a right
    wedge = torch.linspace(0, 1, 16).expand(1, 1, 16, 16).repeat(64, 1, 1, 1)
    seen = augment(wedge, np.arange(64), POLICIES["digits"], seed=0, epoch=0)
    plain = ((seen - wedge) ** 2).mean(dim=(1, 2, 3))
    mirrored = ((seen - wedge.flip(-1)) ** 2).mean(dim=(1, 2, 3))
    assert (plain < mirrored).all()


def test_a_flip_happens_half_of_the_time_and_is_exact():
    batch = images(num=2_000, channels=1, side=4)
    seen = augment(batch, np.arange(2_000), Policy(flip=True), seed=0, epoch=0)
    is_same = torch.isclose(seen, batch, atol=1e-5).all(dim=(1, 2, 3))
    is_mirrored = torch.isclose(seen, batch.flip(-1), atol=1e-5).all(dim=(1, 2, 3))
    assert (is_same ^ is_mirrored).all()
    assert abs(float(is_mirrored.float().mean()) - 0.5) < 6 * 0.5 / 2_000**0.5


def test_two_epochs_in_a_row_see_both_sides_of_every_sample():
    batch, ids = images(num=500, channels=3, side=6), np.arange(7_000, 7_500)
    for policy in (Policy(flip=True), Policy(flip=True, zoom=1e-9)):  # whole pixels, and between
        first, second, third = (
            augment(batch, ids, policy, seed=4, epoch=epoch) for epoch in (3, 4, 5)
        )
        torch.testing.assert_close(second, first.flip(-1), atol=1e-5, rtol=0)
        torch.testing.assert_close(third, first)


def test_a_shift_is_a_crop_of_the_padded_image():
    side, pad = 16, 4
    batch, ids = images(num=32, side=side), np.arange(32)
    policy = Policy(translate=pad / side)
    seen = augment(batch, ids, policy, seed=5, epoch=1)
    draws = uniform(5, 1, ids, 12) * 2 - 1
    shifts = []
    for image, draw, found in zip(batch.numpy(), draws, seen.numpy(), strict=True):
        right, down = (int(np.round(draw[slot] * pad)) for slot in (4, 5))
        shifts.append((right, down))
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
        top, left = pad + down, pad + right
        by_hand = padded[:, top : top + side, left : left + side]
        assert np.allclose(found, by_hand, atol=1e-4)
    assert len(set(shifts)) > 20


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_moving_whole_pixels_equals_resampling_at_them(channels, layout):
    batch, ids = images(num=64, channels=channels, side=12).to(memory_format=layout), np.arange(64)
    policy = Policy(flip=True, translate=0.3)
    assert policy.moves_whole_pixels
    seen = augment(batch, ids, policy, seed=3, epoch=0)
    theta = _affine(torch.from_numpy(uniform(3, 0, ids, 12)), policy, 12, 12)
    grid = functional.affine_grid(theta, list(batch.shape), align_corners=False)
    expected = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    assert torch.allclose(seen, expected, atol=1e-5)
    assert torch.isin(seen, batch).all()  # not one pixel is new
    assert seen.is_contiguous(memory_format=layout)


def test_only_what_needs_no_pixel_between_two_moves_whole_pixels():
    found = {name for name, policy in POLICIES.items() if policy and policy.moves_whole_pixels}
    assert found == {"light"}


def test_a_random_resized_crop_stays_inside_the_image():
    draws = torch.from_numpy(uniform(0, 0, np.arange(2_000), 12))
    theta = _affine(draws, Policy(crop_scale=0.3), 32, 32)
    reach = theta[:, :, :2].abs().sum(dim=2) + theta[:, :, 2].abs()
    assert reach.max() <= 1 + 1e-5
    area = theta[:, 0, 0] * theta[:, 1, 1]
    assert area.min() >= 0.2  # below crop_scale only where a side was cut to the image
    assert area.max() <= 1 + 1e-5


def test_cutout_puts_one_square_of_the_mean_into_the_image():
    batch = images(num=8, side=20)
    seen = augment(batch, np.arange(8), Policy(cutout=0.3), seed=0, epoch=0)
    for before, after in zip(batch, seen, strict=True):
        changed = (before != after).any(dim=0)
        assert 1 <= int(changed.sum()) <= 7 * 7
        mean = before.mean(dim=(1, 2))
        assert torch.allclose(after[:, changed], mean[:, None].expand(-1, int(changed.sum())))


def test_grey_small_images_get_the_policy_without_flips():
    assert choose_policy((28, 28), 1)[0] == "digits"
    assert choose_policy((32, 32), 3)[0] == "light"
    assert choose_policy((300, 224), 3)[0] == "standard"


def test_mixup_takes_the_share_it_tells():
    batch = images()
    mixed, partner, share = mix(batch, mixup=0.4, cutmix=0.0, seed=0, step=3)
    assert partner.tolist() == list(range(15, -1, -1))
    assert 0 < share <= 1
    assert torch.allclose(mixed, share * batch + (1 - share) * batch[partner])
    again, _, _ = mix(batch, mixup=0.4, cutmix=0.0, seed=0, step=3)
    assert torch.equal(again, mixed)


def test_cutmix_takes_the_share_of_pixels_it_tells():
    ones = torch.ones(4, 1, 16, 16)
    ones[2:] = 0  # partners differ everywhere
    shares = []
    for step in range(50):
        mixed, partner, share = mix(ones, mixup=0.0, cutmix=1.0, seed=0, step=step)
        own = (mixed == ones).float().mean(dim=(1, 2, 3))
        assert torch.allclose(own, torch.full((4,), share), atol=1e-6)
        assert partner.tolist() == [3, 2, 1, 0]
        shares.append(share)
    assert min(shares) < 0.5
    assert max(shares) > 0.9


def test_nothing_is_mixed_when_both_are_off():
    batch = images()
    mixed, partner, share = mix(batch, mixup=0.0, cutmix=0.0, seed=0, step=0)
    assert mixed is batch
    assert (partner, share) == (None, 1.0)


def test_with_both_each_mix_is_used_about_half_of_the_time():
    batch = images(num=4, side=8)
    is_blend = []
    for step in range(200):
        mixed, partner, _ = mix(batch, mixup=1.0, cutmix=1.0, seed=0, step=step)
        is_pixel_of_one = (mixed == batch) | (mixed == batch[partner])
        is_blend.append(not bool(is_pixel_of_one.all()))
    assert 0.35 < np.mean(is_blend) < 0.65


def test_a_rotation_is_one_and_is_drawn_from_the_whole_range():
    draws = torch.from_numpy(uniform(0, 0, np.arange(3_000), 12))
    theta = _affine(draws, Policy(rotate_degrees=20), 32, 32)
    matrix = theta[:, :, :2]
    assert torch.allclose(
        matrix @ matrix.transpose(1, 2), torch.eye(2).expand_as(matrix), atol=1e-5
    )
    degrees = torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert -20 <= degrees.min() < -19
    assert 19 < degrees.max() <= 20


def test_classes_named_like_characters_are_never_mirrored():
    digits = [str(k) for k in range(10)]
    assert choose_policy((32, 32), 3, digits)[0] == "digits"  # street numbers, in colour
    assert choose_policy((96, 96), 1, ["a", "b"])[0] == "digits"
    assert choose_policy((32, 32), 3, ["cat", "dog"])[0] == "light"


@pytest.mark.parametrize(
    "classes",
    [
        ["keep_right", "stop"],
        ["LinksAbbiegen", "Halt"],
        ["Gauche", "Droite"],
        ["mano-izquierda", "mano-derecha"],
        ["左转", "直行"],
        ["направо", "прямо"],
        ["eye_L", "eye_R"],
        ["s\u00f6l", "sol", "sa\u011f"],
        ["arrow up", "circle"],
        ["clockwise", "still"],
        ["leftHand", "none"],
        ["U-Turn", "ahead"],
        ["v\u00e4nster", "rakt"],
    ],
)
@pytest.mark.parametrize("side", [32, 96])
def test_classes_that_a_mirror_confuses_are_not_mirrored(
    classes: list[str], side: int, heard
) -> None:
    name, why = choose_policy((side, side), 3, classes)
    policy = POLICIES[name]
    assert policy is not None
    assert not policy.flip
    assert "mirror" in why
    assert any(f"'{c}'" in why for c in classes)
    said = POLICIES[why.partition("--augment ")[2].split()[0]]  # as advised
    assert said is not None
    assert said.flip
    heard(why)


@pytest.mark.parametrize(
    "classes",
    [
        ["cat", "dog"],
        ["leftovers", "soup"],
        ["human rights", "map"],
        ["sol", "luna"],
        ["link", "ness"],
    ],
)
def test_other_classes_are_mirrored_as_before(classes: list[str]) -> None:
    assert choose_policy((96, 96), 3, classes)[0] == "standard"


def test_nothing_is_mirrored_or_moved_far_where_a_number_is_told(heard) -> None:
    name, why = choose_policy((96, 96), 3, has_classes=False)
    policy = POLICIES[name]
    assert policy is not None
    assert not policy.flip
    assert policy.crop_scale == 1
    assert policy.translate <= 0.05
    assert policy.colour == 0  # a brightness is a number, too
    assert "--augment standard" in why
    said = POLICIES["standard"]
    assert said is not None
    assert said.flip
    heard(why)
