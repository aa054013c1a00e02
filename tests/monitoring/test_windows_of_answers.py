"""Windows judged: quiet without drift, found with it, alarms after two of three, not too early."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from monitored import rows

import headstart as hs
from headstart.bundles import manifest_bytes, open_bundle
from headstart.errors import ExportError
from headstart.monitoring import DRIFT, Watch, is_alarm, judge, read_reference
from headstart.monitoring.embeddings import WIDTH, _signs


@pytest.fixture(scope="module")
def bundle(watched):
    return open_bundle(watched[1])


@pytest.fixture(scope="module")
def reference(watched):
    found = read_reference(watched[1])
    assert found is not None
    return found


def state_after(bundle, reference, frame, at_once: int = 100) -> dict:
    """Return the state after rows that come in batches, as a server takes them."""
    watch = Watch(bundle, reference)
    table = frame.drop(columns="label")
    for start in range(0, len(table), at_once):
        inputs = bundle.read(table.iloc[start : start + at_once])
        arrays = bundle.arrays(inputs, np.arange(len(inputs[0])))
        features: list[np.ndarray] = []
        outputs = bundle.outputs(bundle.run(arrays, features))
        watch.add_rows(inputs[0])
        watch.add(outputs, arrays[0], features[0] if features else None)
    watch.finish()
    return watch.state()


def test_the_reference_is_of_samples_that_were_not_learned_from(watched, reference):
    splits = hs.load(str(watched[0].path.parent / "rows.csv"), label="label")
    sizes = f"{len(splits.test)} test and {len(splits.val)} val"  # of test fewer than 500
    assert reference.origin == f"{sizes} samples of the run's data"
    assert len(reference.seen) == len(splits.test) + len(splits.val)
    assert set(reference.limits) == {"embeddings", "classes", "confidence", "columns"}
    assert reference.accuracy == pytest.approx(reference.confusion.trace() / len(reference.seen))


def test_features_are_those_that_the_head_reads(watched, bundle):
    import torch

    run, _ = watched
    inputs = bundle.read(rows(7, 5).drop(columns="label"))
    arrays = bundle.arrays(inputs, np.arange(7))
    features: list[np.ndarray] = []
    logits = bundle.run(arrays, features)[0]
    with torch.no_grad():
        model = run.model
        given = [torch.from_numpy(array) for array in inputs[0].arrays(np.arange(7))]
        assert features[0] == pytest.approx(model.features(*given).numpy(), abs=1e-5)
        assert model.head(torch.from_numpy(features[0])).numpy() == pytest.approx(logits, abs=1e-5)


def test_what_is_a_row_as_it_is_is_no_embedding(watched, bundle):
    from headstart.monitoring.building import _is_row

    arrays = bundle.arrays(bundle.read(rows(5, 6).drop(columns="label")), np.arange(5))[0]
    hot = np.eye(4, dtype=np.float32)[arrays["codes"][:, 0]]
    plain = np.concatenate([arrays["numbers"], hot], axis=1)  # what a linear start's head reads
    assert _is_row(arrays, [plain])
    assert _is_row({**arrays, "numbers": arrays["numbers"][:, :0]}, [hot])
    assert not _is_row(arrays, [plain * 2])
    assert not _is_row(arrays, [])


def test_a_network_still_has_one_output_for_everybody_else(watched):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(watched[1] / "model.onnx"))
    assert [one.name for one in session.get_outputs()] == ["logits"]


def test_rows_like_those_held_out_are_no_drift(bundle, reference):
    state = state_after(bundle, reference, rows(2000, 11))
    assert [one["state"] for one in state["windows"]] == ["no drift"] * 4
    assert not state["alarm"]
    estimate = state["windows"][0]["accuracy"]["estimate"]
    assert estimate["low"] < state["windows"][0]["accuracy"]["reference"] < estimate["high"]


def test_a_column_that_no_answer_depends_on_is_named(bundle, reference):
    state = state_after(bundle, reference, rows(1000, 12, shift=0.6))
    assert state["alarm"]
    first = state["windows"][0]
    assert first["state"] == "drift"
    assert first["detectors"]["columns"]["is_drift"]
    assert [one["name"] for one in first["columns"] if one["is_drift"]] == ["idle"]
    assert not first["detectors"]["classes"]["is_drift"]


def test_cells_that_are_missing_and_categories_that_are_new_are_told(bundle, reference):
    frame = rows(500, 13, lost=0.2)
    frame.loc[frame["land"] == "AT", "land"] = "IT"
    (window,) = state_after(bundle, reference, frame)["windows"]
    land = next(one for one in window["columns"] if one["name"] == "land")
    assert land["is_drift"]
    assert land["missing"] == pytest.approx(frame["land"].isna().mean())
    assert land["new"] == pytest.approx((frame["land"] == "IT").mean())
    assert land["former_missing"] == land["former_new"] == 0


def test_other_shares_of_classes_are_found_and_estimated(bundle, reference):
    frame = rows(2000, 14)
    frame = frame[(frame["label"] == "bee") | (np.arange(2000) % 8 == 0)].iloc[:500]
    (window,) = state_after(bundle, reference, frame)["windows"]
    assert window["detectors"]["classes"]["is_drift"]
    true = (frame["label"] == "bee").mean()
    estimate = next(one for one in window["classes"] if one["name"] == "bee")["estimate"]
    assert estimate["low"] < true < estimate["high"]


def test_few_answers_are_not_enough(bundle, reference):
    state = state_after(bundle, reference, rows(190, 15, shift=5))
    assert (state["windows"], state["filled"], state["alarm"]) == ([], 190, False)
    (window,) = state_after(bundle, reference, rows(200, 15, shift=5))["windows"]
    assert (window["samples"], window["state"]) == (200, "drift")
    few = judge(reference, reference.seen.__class__(np.ones(9), np.array([4, 5]), True), ("a", "b"))
    assert few["state"] == "not enough data"


@pytest.mark.parametrize(
    ("states", "alarm"),
    [
        ("", False),
        ("d", False),
        ("dd", True),
        ("dnd", True),
        ("dnnd", False),
        ("ddn", True),
        ("ddnn", False),
    ],
)
def test_an_alarm_is_two_of_three(states, alarm):
    assert is_alarm([{"d": "drift", "n": "no drift"}[one] for one in states]) is alarm


def test_nothing_is_looked_at_between_two_windows(bundle, reference, still_clock):
    watch = Watch(bundle, reference, pause_seconds=60)
    outputs = np.tile([0.4, 0.6], (500, 1)).astype(np.float32)
    arrays = bundle.arrays(bundle.read(rows(1).drop(columns="label")), np.zeros(500, np.int64))[0]
    assert watch.is_open
    watch.add(outputs, arrays, np.zeros((500, 4), np.float32))
    assert not watch.is_open
    still_clock.now += 61
    assert watch.is_open
    watch.finish()


def test_a_reference_holds_no_input_and_survives_the_disk(watched, reference, tmp_path):
    (tmp_path / DRIFT).write_bytes(reference.to_bytes())
    again = read_reference(tmp_path)
    assert again is not None
    assert again.limits == reference.limits
    assert again.to_bytes() == reference.to_bytes()
    with np.load(watched[1] / DRIFT, allow_pickle=False) as file:
        assert {"about", "numbers", "counts", "embeddings", "column_bins"} <= set(file.files)
        assert not [name for name in file.files if file[name].dtype == object]
        assert "AT" not in file["about"].tobytes().decode()


def test_a_damaged_reference_is_refused(watched, tmp_path, heard):
    folder = tmp_path / "b"
    shutil.copytree(watched[1], folder)
    (folder / DRIFT).write_bytes(b"PK\x03\x04 what is no archive")
    (folder / "MANIFEST.json").write_bytes(manifest_bytes(folder))
    with pytest.raises(ExportError, match=f"{DRIFT} is damaged") as raised:
        read_reference(folder)
    assert read_reference(watched[1]) is not None  # as the run was exported
    heard(str(raised.value))
    with np.load(watched[1] / DRIFT) as file:
        content = dict(file)
    about = json.loads(content["about"].tobytes())
    content["about"] = np.frombuffer(json.dumps({**about, "format": 2}).encode(), np.uint8)
    with (folder / DRIFT).open("wb") as out:
        np.savez(out, **content)
    with pytest.raises(ExportError, match="format 2, expected 1"):
        read_reference(folder)


def test_signs_are_the_same_in_every_release():
    assert _signs(300).shape == (300, WIDTH)
    bits = (_signs(4)[0, :16] > 0).astype(int).tolist()
    assert bits == SIGNS
    spread = np.linalg.norm(np.random.default_rng(0).normal(0, 1, (50, 300)) @ _signs(300), axis=1)
    assert spread.mean() == pytest.approx(np.sqrt(300), rel=0.05)


SIGNS = [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_windows_without_drift_are_quiet_and_drift_is_found(bundle, reference):
    def windows(frame) -> list[dict]:
        found: list[dict] = []
        watch = Watch(bundle, reference, tell=found.append)
        inputs = bundle.read(frame.drop(columns="label"))
        for start in range(0, len(frame), 250):
            places = np.arange(start, start + 250)
            arrays, features = bundle.arrays(inputs, places), []
            outputs = bundle.outputs(bundle.run(arrays, features))
            watch.add_rows(inputs[0], places)
            watch.add(outputs, arrays[0], features[0])
        watch.finish()
        return found

    quiet = windows(rows(100_000, 51))
    assert len(quiet) == 200
    assert sum(one["state"] == "drift" for one in quiet) <= 6
    assert sum(one["alarm"] for one in quiet) <= 6
    moved = windows(rows(10_000, 52, shift=0.6))
    assert sum(one["state"] == "drift" for one in moved) >= 16  # of 20
