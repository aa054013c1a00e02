"""Monitoring: whether what a model is asked now is like what it was tested on; no torch.

A bundle brings a reference (``building`` makes it of held-out samples), a server fills windows
(``watch``), each is judged (``windows``) by a few detectors (``detectors``), and what can be said
without labels is estimated (``estimates``). Nothing here keeps an input.
"""

from headstart.monitoring.answers import KeptAnswers, answers_of, names_of
from headstart.monitoring.building import LEAST, MOST_HELD_OUT, HeldOut, build_reference
from headstart.monitoring.log import append_window, read_windows
from headstart.monitoring.reference import DRIFT, DriftReference, read_reference
from headstart.monitoring.watch import Watch, about_reference
from headstart.monitoring.windows import LEAST_SAMPLES, WINDOW, is_alarm, judge

__all__ = [
    "DRIFT",
    "LEAST",
    "LEAST_SAMPLES",
    "MOST_HELD_OUT",
    "WINDOW",
    "DriftReference",
    "HeldOut",
    "KeptAnswers",
    "Watch",
    "about_reference",
    "answers_of",
    "append_window",
    "build_reference",
    "is_alarm",
    "judge",
    "names_of",
    "read_reference",
    "read_windows",
]
