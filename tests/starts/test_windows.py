"""Long texts in windows: every token has a state, whatever shares its batch."""

from __future__ import annotations

import torch

from headstart.preprocessing.word_windows import Window
from headstart.starts.texts.windows import windowed_states

WINDOW = Window(12, 1, 1)
TABLE = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))


def _alone(ids, mask):
    """Return states that know nothing of their neighbours, and see that windows are small."""
    assert ids.shape[1] <= WINDOW.length
    return TABLE[ids]


def _together(ids, mask):
    """Return states that know the mean of what their window holds."""
    weight = mask.unsqueeze(-1).float()
    return TABLE[ids] + (TABLE[ids] * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)


def _batch(lengths):
    ids = torch.randint(5, 60, (len(lengths), max(lengths)), generator=torch.Generator())
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, 0], ids[row, length - 1], ids[row, length:] = 1, 2, 0
        mask[row, :length] = 1
    return ids, mask


def test_every_token_has_its_own_state():
    lengths = (40, 9, 25, 12, 13)
    ids, mask = _batch(lengths)
    found = windowed_states(_alone, ids, mask, WINDOW)
    for row, length in enumerate(lengths):
        assert torch.equal(found[row, : length - 1], TABLE[ids[row, : length - 1]])


def test_a_text_that_fits_is_one_window_whatever_shares_its_batch():
    ids, mask = _batch((40, 9, 12))
    found = windowed_states(_together, ids, mask, WINDOW)
    for row, length in ((1, 9), (2, 12)):
        alone = _together(ids[row : row + 1, :length], mask[row : row + 1, :length])
        assert torch.allclose(found[row, : length - 1], alone[0, : length - 1])


def test_windows_of_a_text_depend_on_its_own_length_alone():
    ids, mask = _batch((40, 31))
    both = windowed_states(_together, ids, mask, WINDOW)
    alone = windowed_states(_together, ids[1:, :31], mask[1:, :31], WINDOW)
    assert torch.allclose(both[1, :30], alone[0, :30])


def test_a_token_in_the_middle_sees_a_quarter_of_a_window_on_both_sides():
    seen = torch.zeros(60, 60)

    def noting(ids, mask):
        for row, reads in zip(ids, mask, strict=True):
            held = row[reads.bool()]
            for place, token in enumerate(held.tolist()):
                near = min(place, len(held) - 1 - place)
                seen[token, 0] = max(float(seen[token, 0]), near)
        return TABLE[ids]

    ids = torch.arange(50)[None, :]
    windowed_states(noting, ids, torch.ones_like(ids), WINDOW)
    assert (seen[3:47, 0] >= WINDOW.room // 4).all()


def test_a_long_text_costs_those_beside_it_no_windows():
    read = []

    def counting(ids, mask):
        read.append(len(ids))
        return _together(ids, mask)

    lengths = (60, 9, 12, 13, 4)
    ids, mask = _batch(lengths)
    found = windowed_states(counting, ids, mask, WINDOW)
    alone = []
    for row, length in enumerate(lengths):
        one = ids[row : row + 1, :length], mask[row : row + 1, :length]
        if length > WINDOW.length:
            states = windowed_states(counting, *one, WINDOW)
            alone.append(read.pop())
        else:
            states = _together(*one)
            alone.append(1)
        assert torch.allclose(found[row, : length - 1], states[0, : length - 1])
    assert read == [sum(alone)]
    assert sum(alone) < len(lengths) * max(alone) / 2
