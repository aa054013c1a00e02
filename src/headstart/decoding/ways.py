"""Which search writes as somebody wants it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.decoding.beams import BeamSearch
from headstart.decoding.greedy import GreedySearch
from headstart.decoding.rules import WritingRules
from headstart.decoding.search import Search
from headstart.decoding.steps import Steps
from headstart.types.texts import Telling


def begin_search(
    steps: Steps, rules: WritingRules, how: Telling, prompts: Sequence[np.ndarray]
) -> Search:
    """Return a search that has not begun: by beams where there are several.

    Args:
        steps: See ``Search``, as all others.
        rules: See there.
        how: See there.
        prompts: See there.
    """
    kind = BeamSearch if how.num_beams > 1 else GreedySearch
    return kind(steps, rules, how, prompts)
