"""Every sentence of the source that advises something is followed by a test, or excused."""

from __future__ import annotations

import os

import advice
import pytest


def test_every_sentence_that_advises_is_followed(is_whole: bool) -> None:
    if not is_whole:
        pytest.skip("only a run of all tests that follow advice has heard all of them")
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("each worker has heard a part; conftest.py asks at the end of the session")
    assert not advice.faults()
