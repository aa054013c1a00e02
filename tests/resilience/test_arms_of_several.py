"""Several processes advance an arm each: one result, and one that breaks is named."""

import json
from pathlib import Path

import pytest
from processes import end, start

ARMS = str(Path(__file__).parent / "arms.py")
TOLD = ("arm", "score", "loss", "num_steps")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def rows_of(out):
    return json.loads((out / "options.json").read_text())["arms"]


@pytest.mark.parametrize("data", [pytest.param("digits", marks=pytest.mark.slow), "table"])
def test_two_processes_find_what_one_finds_to_the_bit(cache, tmp_path, data):
    alone, both = tmp_path / "alone", tmp_path / "both"
    runs = [start(cache, out, num, program=ARMS, data=data) for out, num in ((alone, 1), (both, 2))]
    for run in runs:
        codes, said = end(run)
        assert set(codes) == {0}, said
    one, two = ({r["arm"]: [r[n] for n in TOLD] for r in rows_of(out)} for out in (alone, both))
    assert one == two
    assert len(one) == (3 if data == "digits" else 2)
    for name in ("model.safetensors", "predictions.parquet"):
        assert (alone / name).read_bytes() == (both / name).read_bytes()
    assert json.loads((both / "options.json").read_text())["processes"] == 2
    assert not (both / "state").exists()


@pytest.mark.slow
def test_an_arm_that_breaks_is_named_with_its_process_and_the_others_go_on(cache, tmp_path):
    out = tmp_path / "run"
    codes, said = end(start(cache, out, 2, program=ARMS, data="table", breaks=1))
    assert codes == [0, 0], said
    notes = [row["note"] for row in rows_of(out)]
    broken = "process 1: left out: RuntimeError: this arm is broken"
    assert sorted(note == broken for note in notes) == [False, True]
    assert sum(" steps" in note and " of " in note for note in notes) == 1
