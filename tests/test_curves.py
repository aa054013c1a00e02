"""What the fits of this machine have found stays on it, names nothing, and teaches the prior."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import headstart as hs
from headstart.ranking.prior import own_rows, priors, read_table
from headstart.starts import find_start
from headstart.storage.curves import digest_of, keep_curves, read_curves


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEADSTART_CURVES", raising=False)


def record(data, **scores):
    arms = [
        {
            "start": f"pip/{name.replace('_', '-')}",
            "score": score,
            "num_parameters": 10**6,
            "is_pretrained": True,
            "curve": [[1, 0.5, 1.0]],
        }
        for name, score in scores.items()
    ]
    return {"data": data, "modality": "image", "is_higher_better": True, "arms": arms}


def test_a_fit_keeps_its_arms_and_says_nothing_of_the_data_but_a_digest(
    tmp_path, work_clock, capsys
):
    rng = np.random.default_rng(0)
    rows = [
        {"secret column": float(x), "kind": "hush" if x > 0 else "whist"}
        for x in rng.normal(size=300)
    ]
    data = hs.load(rows, label="kind")
    hs.fit(data, budget="20s", out=str(tmp_path / "run"), starts=["scratch/linear", "scratch/mlp"])
    (kept,) = read_curves()
    assert kept["data"] == digest_of(data.fingerprint)
    assert {"scratch/linear", "scratch/mlp"} == {arm["start"] for arm in kept["arms"]}
    trained = [arm for arm in kept["arms"] if arm["start"] == "scratch/mlp" and arm["num_steps"]]
    assert trained
    assert any(arm["curve"] for arm in trained)
    said = json.dumps(kept)
    assert not any(word in said for word in ("secret", "hush", "whist", str(tmp_path)))
    entries = hs.cache(kind="curves").entries
    assert [entry.kind for entry in entries] == ["curves"]
    hs.cache(clear=True, kind="curves")
    assert not list(read_curves())


def test_the_prior_learns_from_other_data_of_this_machine_alone():
    before = {row.start for row in read_table()}
    assert "pip/own" not in before
    data = SimpleNamespace(
        name="photos", fingerprint="mine", schema=SimpleNamespace(modality="image")
    )
    keep_curves(
        record(digest_of("theirs"), own=0.9, efficientnet_lite0=0.5, efficientnet_lite1=0.4)
    )
    keep_curves(record(digest_of("mine"), own=0.1, efficientnet_lite0=0.9))
    assert {row.start: row.score for row in own_rows("mine")}["pip/own"] == 0.9
    lite = find_start("pip/efficientnet-lite0")
    (found,) = priors(data, [lite])
    (shipped,) = priors(data, [lite], read_table())
    assert found.num_sets == shipped.num_sets + 1


def test_nothing_is_kept_or_read_where_the_user_says_so(monkeypatch):
    keep_curves(record("1", own=0.9))
    monkeypatch.setenv("HEADSTART_CURVES", "off")
    assert not keep_curves(record("2", own=0.9))
    assert not list(read_curves())
    monkeypatch.setenv("HEADSTART_CURVES", "on")
    assert [one["data"] for one in read_curves()] == ["1"]
