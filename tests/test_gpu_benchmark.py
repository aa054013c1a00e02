"""The script for ten minutes of a GPU: a part that fails or hangs does not end the rest."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
# What each part's process does; the words behind are --part NAME --result FILE.
CHILD = """
import json, sys, time
name, result = sys.argv[2], sys.argv[4]
if name == "hangs":
    time.sleep(60)
if name == "breaks":
    raise ValueError("no such kernel")
if name != "silent":
    answer = {"trained": 2.0, "rate": 30.0, "accuracy": 0.9875, "memory": None, "note": "so"}
    open(result, "w").write(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["gpu_benchmark"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPT.parent))
    return module


def test_a_part_that_fails_hangs_or_says_nothing_does_not_end_the_rest(gpu: ModuleType) -> None:
    limits = {"breaks": 30.0, "hangs": 1.5, "silent": 30.0, "works": 30.0}
    parts = [gpu.Part(name, name.title(), limit, None) for name, limit in limits.items()]
    rows = gpu.measure(parts, 60.0, [sys.executable, "-c", CHILD])
    assert [row[0] for row in rows] == [
        "Breaks: **failed**, ValueError: no such kernel",
        "Hangs: **failed**, stopped after 2 s",
        "Silent: **failed**, ended with status 0",
        "Works (so)",
    ]
    assert rows[3][1:5] == ["2.0", "30.0", "0.9875", "–"]
    late = gpu.measure(parts[3:], 0.5, [sys.executable, "-c", CHILD])
    assert late[0][0] == "Works: **failed**, not begun: the time for all was up"


def test_the_table_goes_between_its_markers_and_nowhere_else(gpu: ModuleType) -> None:
    text = f"before\n{gpu.BEGIN}\nold\n{gpu.END}\nbehind\n"
    new = gpu.replaced(text, "| a |")
    assert new == f"before\n{gpu.BEGIN}\n| a |\n{gpu.END}\nbehind\n"
    assert gpu.replaced(new, "| a |") == new
    for broken in ("no markers", f"{gpu.END} {gpu.BEGIN}", text + gpu.END):
        with pytest.raises(ValueError, match="Put them back"):
            gpu.replaced(broken, "| a |")
    assert "not measured" in gpu.DOCS.read_text().partition(gpu.BEGIN)[2].partition(gpu.END)[0] or (
        "| what" in gpu.DOCS.read_text()
    )


def test_all_parts_together_fit_into_ten_minutes_and_name_every_strategy(gpu: ModuleType) -> None:
    from headstart.training.options.strategies import STRATEGIES

    names = [part.name for part in gpu.PARTS]
    assert {name for name in names if name.startswith("strategy-")} == {
        f"strategy-{name}" for name, one in STRATEGIES.items() if not one.is_in_four_bits
    }
    assert {"compile", "prefix", "cifar10", "mnist"} <= set(names)
    assert gpu.parse([]).limit < 600


@pytest.mark.slow
def test_a_rehearsal_on_the_cpu_runs_every_part_and_writes_nothing(gpu: ModuleType) -> None:
    before = gpu.DOCS.read_bytes()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--write"], capture_output=True, text=True, timeout=3600
    )
    if not done.stdout.startswith("No GPU here"):
        pytest.skip("there is a GPU here")
    assert done.returncode == 0, done.stdout
    assert gpu.DOCS.read_bytes() == before
    assert "Nothing was written" in done.stdout
