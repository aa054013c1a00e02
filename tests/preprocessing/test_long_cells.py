"""Cells longer than any number or day: read in no time, and not held by whoever has read them."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from headstart.cells import as_number
from headstart.preprocessing.dates import read_date
from headstart.preprocessing.numbers import read_number
from headstart.preprocessing.units import split_unit

READERS = {"plain": as_number, "written": read_number, "date": read_date, "unit": split_unit}
LONG = 20_000
STRANGE = ("1" * LONG + "x", "0" * LONG + "x", "1," * LONG, "1 " * LONG, "(" * LONG, "€ " * LONG,
           "1:" * LONG, " " * LONG + "x", "1-" * LONG, "a " * LONG, "1e" * LONG)  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_no_cell_takes_longer_than_its_length(name):
    began = time.process_time()
    for cell in STRANGE:
        READERS[name](cell)
    assert time.process_time() - began < 2  # a quadratic one takes ten seconds


@pytest.mark.parametrize("name", READERS)
def test_long_cells_are_not_held_once_they_are_read(name):
    READERS[name]("12.5")
    tracemalloc.start()
    for number in range(40):
        READERS[name](f"{number}" + "7" * 100_000)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 1_000_000  # all forty are four megabytes
    assert read_number("12.5") == as_number("12.5") == 12.5
