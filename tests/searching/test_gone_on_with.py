"""A finished search is gone on with: all that its models read with is put by, of every kind."""

from __future__ import annotations

import json

import pytest

from headstart.searching.record import reopened
from headstart.storage.records import READING_FILES

WEIGHTS = ("model.json", "model.safetensors")


@pytest.mark.parametrize("num_members", [0, 2])
def test_what_a_preprocessing_has_written_is_put_by_with_the_weights(num_members, tmp_path):
    search = tmp_path / "search"
    folders = [tmp_path / "members" / str(n + 1) for n in range(num_members)] or [tmp_path]
    for number, folder in enumerate(folders, 1):
        (search / str(number)).mkdir(parents=True)
        (search / str(number) / "made.json").write_text(f"made {number}")
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*WEIGHTS, *READING_FILES, "report.html", "log.jsonl"):
            (folder / name).write_text(f"{name} {number}")
    plan = {"decisions": {"start": {"value": "x"}}, "seed": 3}
    (search / "plan.json").write_text(json.dumps(plan))
    assert reopened(tmp_path)["seed"] == 3
    for number in range(1, len(folders) + 1):
        place = tmp_path / "state" / "served" / str(number)
        found = {path.name: path.read_text() for path in place.iterdir()}
        wanted = {name: f"{name} {number}" for name in (*WEIGHTS, *READING_FILES)}
        assert found == wanted | {"made.json": f"made {number}"}
