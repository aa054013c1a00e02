"""Where losses and figures of a run go besides its folder: files and tools that people look at.

Everything that a run tells is an event (``headstart.events``); ``feed.py`` turns those that hold
numbers into figures at steps, and hands them to the trackers that were asked for. A tracker is an
object with two methods (``tracker.py``); ``table.py`` has a row for each. No torch, and no tracker
is imported before it is asked for.
"""

from headstart.tracking.feed import tracked
from headstart.tracking.table import TrackerName, require_trackers
from headstart.tracking.tracker import TrackedRun, Tracker

__all__ = ["TrackedRun", "Tracker", "TrackerName", "require_trackers", "tracked"]
