"""The benchmarks of serving: who asks takes no time of the server that is asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores",
)


@pytest.mark.parametrize("kept", [0, -1])
def test_a_server_has_the_core_that_is_named_whichever_the_client_keeps(kept, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    from serving import free_port, serving

    cores = sorted(os.sched_getaffinity(0))
    mine, its = cores[kept], cores[-1 - kept]
    port = free_port()
    command = [sys.executable, "-S", "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    os.sched_setaffinity(0, {mine})
    try:
        with serving(command, port, "/", core=its) as process:
            assert os.sched_getaffinity(process.pid) == {its}
            assert os.sched_getaffinity(0) == {mine}
    finally:
        os.sched_setaffinity(0, cores)
