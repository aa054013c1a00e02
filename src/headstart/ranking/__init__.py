"""Which start: a first, simple ranking; the seam that a fuller search will replace."""

from headstart.ranking.screen import Candidate, default_starts, screen

__all__ = ["Candidate", "default_starts", "screen"]
