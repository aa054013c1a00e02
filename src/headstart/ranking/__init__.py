"""Which start: a quick screening inside ``fit``, and a fuller ranking for those who ask for one."""

from headstart.ranking.rank import rank_starts
from headstart.ranking.ranked import RankedStart, Ranking
from headstart.ranking.screen import Candidate, default_starts, screen

__all__ = ["Candidate", "RankedStart", "Ranking", "default_starts", "rank_starts", "screen"]
