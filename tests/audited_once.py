"""What audits say of the same samples is found once a session, not by each of its runs.

Most runs here learn a few steps from the same digits, and looking for near copies among them, or
asking a probe about their labels, takes several times as long as all else. So what an audit has
found is kept by the data and handed to the next run: what a run makes of it stays as it is. Where
the audit or the time is the matter it is run each time.
"""

import os
from dataclasses import replace

AS_EVER = (
    "tests/auditing/",
    "test_check.py",
    "test_fit.py",
    "test_fit_on_a_busy_machine.py",
    "test_dry_run.py",
    "budget",
    "plan",
)


def _rows():
    """Return the rows of the audits that take long."""
    from headstart.auditing.audits import AUDITS
    from headstart.auditing.near_images import NEAR_IMAGES

    return [NEAR_IMAGES, *(audit for audit in AUDITS.values() if audit.estimates)]


def hand_on():
    """Put rows that remember in the place of those audits."""
    from headstart.auditing.audits import AUDITS

    for row in _rows():
        AUDITS[row.name] = replace(row, run=_remembering(row))


def _remembering(row):
    known = {}

    def look(dataset, tools):
        if any(word in os.environ.get("PYTEST_CURRENT_TEST", "") for word in AS_EVER):
            return row.run(dataset, tools)
        splits = (dataset.train, dataset.val, dataset.test)
        names = [split.samples.name(i) for split in splits for i in range(len(split))]
        key = dataset.name, dataset.fingerprint, dataset.schema, tools.seed, tuple(names)
        key = (*key, tools.start, tools.is_quiet)
        if key not in known:
            # to its end: what a busy machine has cut short would be looked for by every run again
            known[key] = row.run(dataset, replace(tools, is_over=lambda: False))
        return list(known[key])

    return look


def leave_out():
    """Put rows that find nothing there, for programs that learn the same digits in many lives."""
    from headstart.auditing.audits import AUDITS

    for row in _rows():
        AUDITS[row.name] = replace(row, run=lambda dataset, tools: [])
