"""One life of a fine-tuning by the command line, which a signal may end; for ``same_bits``.

    python benchmarks/same_bits_life.py '{"signal": 9, "state": "run/state", …}' finetune …

Its clock is fast, so that a checkpoint is due after a few steps instead of a minute: the clock
changes nothing else where there is no budget. The signal is one that the process sends to itself,
in the middle of a step. SIGKILL waits for a checkpoint that was not there when this attempt began.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from unittest.mock import patch

from same_bits_record import command, watched_losses

SPEED = 500  # seconds that the clock shows in one
FIRST, AFTER = 40, 7  # backward passes before a stop, and from a new checkpoint to a kill


def _checkpoints(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")}


def main() -> int:
    if not sys.argv[1:]:
        print(__doc__)
        return 0
    fate = json.loads(sys.argv[1])
    state, number = Path(fate["state"]), fate["signal"]
    before, due = _checkpoints(state), None
    real, began = time.monotonic, time.monotonic()

    def befall(num_passes: int) -> None:
        nonlocal due
        if number == signal.SIGKILL and due is None and _checkpoints(state) - before:
            due = num_passes + AFTER
        if number == signal.SIGKILL and due is None:
            real_sleep(0.01)  # the disk may be slower than these steps
        if number == signal.SIGTERM and due is None:
            due = FIRST
        if num_passes == due:
            os.kill(os.getpid(), number)

    real_sleep = time.sleep
    with watched_losses(befall) as losses:
        if number != signal.SIGTERM:
            fast = patch.object(time, "monotonic", lambda: began + SPEED * (real() - began))
            fast.start()
        code, _, said = command(*sys.argv[2:])
    sys.stderr.write(said)
    Path(fate["word"]).write_text(json.dumps(losses))
    return code


if __name__ == "__main__":
    sys.exit(main())
