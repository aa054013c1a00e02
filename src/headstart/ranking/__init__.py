"""Which start: a quick screening inside ``fit``, and a fuller ranking for those who ask for one.

The ranking (``rank.py``) is not imported here: it brings scikit-learn, which takes two seconds.
"""

from headstart.ranking.screen import Candidate, default_starts, screen
from headstart.ranking.untrained import screen_untrained

__all__ = ["Candidate", "default_starts", "screen", "screen_untrained"]
