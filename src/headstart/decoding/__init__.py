"""Writing, token after token, by any network that can be asked for the next one; no torch.

``Steps`` is the seam: what a network gives of the first token of some rows, and of each that
follows. Training, ``predict`` and the server search with the same code, so that a run writes the
same wherever its network is computed. Left out: contrastive and assisted search, and penalties.
"""

from headstart.decoding.rules import WritingRules
from headstart.decoding.search import Search, written_by
from headstart.decoding.steps import Steps, are_others
from headstart.decoding.ways import begin_search

__all__ = ["Search", "Steps", "WritingRules", "are_others", "begin_search", "written_by"]
