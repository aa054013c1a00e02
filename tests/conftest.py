"""What every test needs before torch is imported.

One thread: the networks here are tiny, and OpenMP threads that wait for one another on a busy
machine make them ten times slower, not faster.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
