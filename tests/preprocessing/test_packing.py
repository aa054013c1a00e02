"""Windows of documents, and windows that share a row."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.preprocessing.packing import cut_documents, pack

RNG = np.random.default_rng(0)


def test_windows_hold_every_token_of_a_document_once_and_are_alike_in_length():
    documents, lengths = np.array([3, 8, 9]), np.array([1_000, 1, 129])
    windows = cut_documents(documents, lengths, 128)
    for document, length in zip(documents, lengths, strict=True):
        some = windows.some(np.flatnonzero(windows.documents == document))
        covered = [t for b, e in zip(some.begins, some.ends, strict=True) for t in range(b, e)]
        assert covered == list(range(length))
        assert np.ptp(some.lengths) <= 1
    assert windows.lengths.max() <= 128


@pytest.mark.parametrize("most", [16, 100])
def test_rows_hold_every_window_once_and_are_nearly_full(most):
    lengths = RNG.integers(1, most + 1, 5_000)
    order, bounds = pack(lengths, most)
    assert np.array_equal(np.sort(order), np.arange(5_000))
    rows = np.add.reduceat(lengths[order], bounds[:-1])
    assert rows.max() <= most
    assert lengths.sum() / (len(rows) * most) > 0.98


def test_windows_that_fill_a_row_stand_alone():
    order, bounds = pack(np.full(7, 12), 12)
    assert len(bounds) == 8
    assert np.array_equal(np.sort(order), np.arange(7))
