"""Which start: a quick screening inside ``fit``, and a fuller ranking for those who ask for one.

The ranking (``rank.py``) is not imported here: it brings scikit-learn, which takes two seconds.
"""

from headstart.ranking.screen import Candidate, default_starts, screen
from headstart.ranking.writers import screen_writers

__all__ = ["Candidate", "default_starts", "screen", "screen_writers"]
