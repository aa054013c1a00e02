"""Every sentence of the source that advises something is followed by a test, or stands here."""

from __future__ import annotations

import pytest
from advice import unfollowed

OPEN = 313  # sentences that no test follows yet; may be lowered, never raised


def test_every_sentence_that_advises_is_followed(is_whole: bool) -> None:
    if not is_whole:
        pytest.skip("only a run of all tests that follow advice has heard all of them")
    missing = [str(each) for each in unfollowed()]
    assert len(missing) <= OPEN, "follow it in a test that asks for the fixture heard"
