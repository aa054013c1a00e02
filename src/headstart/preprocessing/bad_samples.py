"""Samples that cannot be used: how many are too many, and how they are named."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.errors import DataError
from headstart.types import BadSample, Dataset


def check_bad_share(
    name: str,
    bad: Sequence[BadSample],
    num_total: int,
    max_bad_fraction: float,
    noun: str = "images",
) -> None:
    """Stop when more samples are unusable than the user allows.

    Args:
        name: Of the data set.
        bad: The unusable samples.
        num_total: All samples, usable or not.
        max_bad_fraction: The limit, a share.
        noun: What several samples are called.

    Raises:
        DataError: The limit is exceeded.
    """
    if len(bad) > max_bad_fraction * num_total:
        raise DataError(
            f"{len(bad)} of {num_total} {noun} of {name} ({len(bad) / num_total:.1%}) cannot be "
            f"used, more than the limit of {max_bad_fraction:.4g}: {first_few(bad)}. Repair or "
            "remove them, or allow more with --max-bad-fraction."
        )


def first_few(bad: Sequence[BadSample]) -> str:
    """Return the first of them with their reasons, and how many more there are."""
    shown = "; ".join(f"{sample.name}: {sample.reason}" for sample in bad[:3])
    return shown + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")


def check_prepared(dataset: Dataset, bad: Sequence[BadSample], noun: str = "images") -> None:
    """Stop when those found while preparing, with those that ``load`` left out, are too many.

    Args:
        dataset: Gives the limit, and what was found before.
        bad: Found while preparing.
        noun: What several samples are called.

    Raises:
        DataError: The limit is exceeded.
    """
    if bad:
        known = list(dataset.bad_samples)
        total = len(known) + len(dataset.train) + len(dataset.val) + len(dataset.test)
        check_bad_share(dataset.name, [*bad, *known], total, dataset.max_bad_fraction, noun)
