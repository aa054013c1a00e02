"""Scores of frozen features: how much of a target a simple method reads from them.

Each is a pure function of features, shape (N, D), and targets; its source stands in its docstring.
None looks at another candidate: a score does not change with the pool. Those that predict every
sample by all others (``Outcome``) are in the unit of the task's figure, so that a gap between two
means something; the others only rank.
"""

from headstart.ranking.scores.collapse import collapse_score
from headstart.ranking.scores.equalised import common_dimension, equalise
from headstart.ranking.scores.evidence import log_evidence
from headstart.ranking.scores.hscore import h_score
from headstart.ranking.scores.neighbours import neighbour_score
from headstart.ranking.scores.outcome import Outcome
from headstart.ranking.scores.ridge import leave_out, ridge_score
from headstart.ranking.scores.source_head import leep, nce

__all__ = [
    "Outcome",
    "collapse_score",
    "common_dimension",
    "equalise",
    "h_score",
    "leave_out",
    "leep",
    "log_evidence",
    "nce",
    "neighbour_score",
    "ridge_score",
]
