"""Every sentence of the source that advises something is followed by a test, or stands here."""

from __future__ import annotations

import pytest
from advice import unfollowed

_SEVERAL = "only several processes say it, in tests that are slow"
# Part of the sentence, and why no quick test does as it says; tests that take longer may.
NOT_FOLLOWED = {
    "processes that train together has left": f"{_SEVERAL}: resilience/test_distributed.py",
    " has died (": f"{_SEVERAL}: test_num_processes.py",
    "Put --out on a disk that all machines share": "it needs a second machine",
    "whose weights are split so that none can try again": "it needs GPUs that are full",
    "The network has no blocks of a transformer": f"{_SEVERAL}: resilience/test_split_weights.py",
    " has no plan for tensor parallelism (": f"{_SEVERAL}: resilience/test_split_weights.py",
}
MOST = 6  # may be lowered, never raised


def test_every_sentence_that_advises_is_followed(is_whole: bool) -> None:
    if not is_whole:
        pytest.skip("only a run of all tests that follow advice has heard all of them")
    missing = unfollowed()
    for words, why in NOT_FOLLOWED.items():
        print(f"not followed, {why}: {words}")
    unlisted = [str(each) for each in missing if not any(w in each.words for w in NOT_FOLLOWED)]
    assert not unlisted, "follow it in a test that asks for the fixture heard"
    unneeded = [w for w in NOT_FOLLOWED if not any(w in each.words for each in missing)]
    assert not unneeded, "a test follows it now, or nobody says it: take it off the list"
    assert len(NOT_FOLLOWED) <= MOST
