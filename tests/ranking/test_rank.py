"""``rank``: the order, the shortlist, what is left out and why, and that test is not touched."""

import json
import os
import shlex
import signal

import numpy as np
import pytest

import headstart as hs
from headstart import cli
from headstart.data import load
from headstart.errors import Interrupted, RunFolderError
from headstart.ranking import rank as module
from headstart.ranking import scored
from headstart.ranking.aggregate import order_candidates

SMALL = {"budget": "60s", "device": "cpu"}
QUICK = {"budget": "20s", "device": "cpu"}  # two kinds of network, on a machine that is busy


def test_classes_that_are_far_apart_rank_the_start_that_sees_them_first(tmp_path, heard):
    ranked = hs.rank(
        "digits-8x8", starts=["scratch/simple-cnn", "scratch/vit-tiny"], out=str(tmp_path), **QUICK
    )
    first, _ = ranked.record["starts"]
    assert first["start"] == "scratch/simple-cnn"
    assert ranked.shortlist[0] == "scratch/simple-cnn"
    assert 0.8 < first["figure"]["low"] <= first["figure"]["value"] <= first["figure"]["high"] <= 1
    assert first["minutes"] > 0
    assert first["step_bytes"] > 10**5
    written = json.loads((tmp_path / "ranking.json").read_text())
    assert written == json.loads(json.dumps(ranked.record))
    assert "Worth a try: scratch/simple-cnn" in ranked.report()
    worth = next(line for line in ranked.report().splitlines() if line.startswith("Worth a try"))
    chosen = hs.finetune(
        "digits-8x8", start=ranked.shortlist[0], num_steps=1, out=str(tmp_path / "run")
    )
    assert chosen.path.is_dir()
    heard(" ".join(ranked.report()[ranked.report().index(worth) :].split()))


def reviews(num=240):
    rng = np.random.default_rng(0)
    good, bad = ["fine", "lovely", "superb"], ["awful", "dull", "poor"]
    rest = ["the", "a", "film", "plot", "it", "was", "actor", "scene"]
    labels = rng.integers(0, 2, num)
    texts = [
        " ".join([*rng.choice(rest, 6), rng.choice(good if label else bad), f"n{place}"])
        for place, label in enumerate(labels)
    ]
    return texts, ["good" if label else "bad" for label in labels]


def test_words_that_tell_the_class_are_found_in_terms():
    ranked = hs.rank(reviews(), starts=["scratch/tfidf"], **SMALL)
    (one,) = ranked.record["starts"]
    assert one["kind"] == "features"
    assert one["figure"]["value"] > 0.9
    assert one["neighbours"] > 0.8


def test_columns_that_tell_a_number_are_scored_by_the_variance_they_explain():
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(400, 4))
    value = columns @ [2.0, -1, 0, 0] + 0.5 * rng.normal(size=400)
    ranked = hs.rank((columns, value), starts=["scratch/linear"], **SMALL)
    (one,) = ranked.record["starts"]
    assert ranked.record["figure_name"] == "explained variance"
    assert one["figure"]["value"] == pytest.approx(1 - 0.25 / 5.25, abs=0.02)
    assert one["collapse"] is None
    assert one["h_score"] is None


def test_test_is_never_touched(monkeypatch):
    dataset = load("digits-8x8")
    seen = []
    real = scored.prepare_sample
    monkeypatch.setattr(
        scored,
        "prepare_sample",
        lambda d, name, *a, **k: seen.append(name) or real(d, name, *a, **k),
    )
    hs.rank(dataset, starts=["scratch/simple-cnn"], **SMALL)
    assert set(seen) <= {"train", "val"}


def test_one_that_cannot_be_built_is_named_and_the_rest_go_on(monkeypatch):
    real = scored.set_up

    def refusing(dataset, start, *args, **kwargs):
        if start.address == "scratch/vit-tiny":
            raise hs.StartError("Its weights cannot be downloaded: no network")
        return real(dataset, start, *args, **kwargs)

    monkeypatch.setattr(scored, "set_up", refusing)
    ranked = hs.rank("digits-8x8", starts=["scratch/vit-tiny", "scratch/simple-cnn"], **SMALL)
    first, last = ranked.record["starts"]
    assert first["start"] == "scratch/simple-cnn"
    assert (last["start"], last["place"]) == ("scratch/vit-tiny", None)
    assert last["why"] == "left out: Its weights cannot be downloaded: no network"
    assert "-  scratch/vit-tiny: from scratch" in ranked.report()


def test_without_any_start_that_can_be_scored_it_says_why_for_each(monkeypatch):
    def refusing(*args, **kwargs):
        raise hs.StartError("a step takes about 9.0 s, too slow for its 2 s here")

    monkeypatch.setattr(scored, "try_start", refusing)
    with pytest.raises(hs.StartError, match=r"None of 1 starts .* scratch/simple-cnn: not scored"):
        hs.rank("digits-8x8", starts=["scratch/simple-cnn"], **SMALL)


@pytest.mark.parametrize("address", ["scratch/simple-cn", "timm/resnt18"])
def test_an_unknown_start_among_many_is_refused_before_any_is_built(address, monkeypatch):
    monkeypatch.setattr(scored, "set_up", None)
    with pytest.raises(hs.StartError, match="Did you mean"):
        hs.rank("digits-8x8", starts=["scratch/simple-cnn", address], **SMALL)


@pytest.mark.parametrize("said", ["many", "-3M", "0", "M", ""])
def test_a_number_of_parameters_that_is_none_is_refused(said):
    with pytest.raises(hs.OptionError, match="is no number of parameters; expected"):
        hs.rank("digits-8x8", max_params=said)


@pytest.mark.parametrize(("said", "kept"), [("4.5M", 2), ("4500000", 2), ("4500k", 2), ("1b", 3)])
def test_larger_starts_are_left_out(said, kept):
    from headstart.recipes.rank import RankOptions, _candidates, _millions

    starts = ["pip/efficientnet-lite0", "pip/efficientnet-lite1", "pip/efficientnet-lite2"]
    options = RankOptions("digits-8x8", starts=starts)
    found = _candidates(options, load("digits-8x8"), _millions(said))
    assert len(found) == kept


def test_weights_for_some_purposes_only_are_left_out():
    from headstart.recipes.rank import RankOptions, _candidates

    dataset = load("digits-8x8")
    like = "timm/vit_base_patch16_224*"
    every = _candidates(RankOptions("d", like=like), dataset, float("inf"))
    free = _candidates(RankOptions("d", like=like, licence="permissive"), dataset, float("inf"))
    assert {one.licence for one in every} - {one.licence for one in free} >= {"cc-by-nc-4.0"}
    assert not any("nc" in one.licence for one in free)
    with pytest.raises(hs.OptionError, match="or leave out --offline"):
        _candidates(RankOptions("d", like=like, offline=True), dataset, float("inf"))


def test_a_start_without_a_score_has_its_weight_taken_by_the_others():
    rng = np.random.default_rng(2)
    good, bad = (rng.random(500) < 0.9).astype(float), (rng.random(500) < 0.5).astype(float)
    nothing = float("nan")
    columns = {
        "head": np.array([bad.mean(), good.mean(), 0.7]),
        "neighbours": np.array([0.5, nothing, 0.7]),
        "collapse": np.array([nothing, nothing, nothing]),
        "prior": np.array([15.0, nothing, 14.0]),
    }
    middle = (rng.random(300) < 0.7).astype(float)
    order = order_candidates(columns, [bad, good, middle])
    assert order.places.tolist() == [1, 2, 0]
    assert order.best_chance[1] > 0.95
    assert order.shortlist == 1
    assert order.regret == pytest.approx(0, abs=1e-6)


def test_candidates_that_are_nearly_alike_are_all_worth_a_try():
    rng = np.random.default_rng(3)
    outcomes = [(rng.random(200) < 0.8).astype(float) for _ in range(6)]
    columns = {"head": np.array([each.mean() for each in outcomes])}
    order = order_candidates(columns, outcomes)
    assert order.shortlist == 3
    assert order.best_chance.max() < 0.9
    assert order.best_chance.sum() == pytest.approx(1)
    assert order.regret_high > order.regret > 0


def test_starts_that_are_equally_good_share_the_chance_to_be_the_best():
    same = (np.random.default_rng(4).random(50) < 0.9).astype(float)
    worse = np.zeros(50)
    order = order_candidates({"prior": np.array([2.0, 1.0, 3.0])}, [same, same.copy(), worse])
    assert order.best_chance.tolist() == [0.5, 0.5, 0]


def test_the_next_command_says_how_the_data_is_read(tmp_path, capsys):
    rows = tmp_path / "rows.csv"
    rows.write_text("a,kind\n" + "".join(f"{i},{'even' if i % 2 else 'odd'}\n" for i in range(60)))
    options = ["--label", "kind", "--starts", "scratch/linear", "--budget", "30s"]
    assert cli.main(["rank", str(rows), *options]) == 0
    assert (
        f"next: headstart fit {rows} --label kind --starts scratch/linear --budget 30m"
        in capsys.readouterr().err
    )


def test_the_command_names_the_next_one(capsys):
    assert (
        cli.main(["rank", "digits-8x8", "--starts", "scratch/simple-cnn", "--budget", "60s"]) == 0
    )
    out, err = capsys.readouterr()
    assert "scratch/simple-cnn" in out
    assert max(map(len, out.splitlines())) <= 100
    assert "next: headstart fit digits-8x8 --starts scratch/simple-cnn --budget 30m" in err


def test_the_next_command_keeps_the_options_of_reading(tmp_path, capsys):
    texts, labels = reviews(90)
    path = tmp_path / "it's new.csv"
    rows = zip(texts, labels, strict=True)
    lines = [f"{text},{label},{place // 3}" for place, (text, label) in enumerate(rows)]
    path.write_text("\n".join(["text,label,the patient", *lines]))
    words = ["--group", "the patient", "--starts", "scratch/tfidf", "--budget", "60s"]
    assert cli.main(["rank", str(path), *words]) == 0
    said = shlex.split(capsys.readouterr().err.splitlines()[-1])
    data = [str(path), "--group", "the patient"]
    assert said == ["next:", "headstart", "fit", *data, "--starts", *words[3:4], "--budget", "30m"]


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(module, "rank_starts", lambda *_, **__: pytest.fail("it was ranked"))
    with pytest.raises(RunFolderError, match="expected a folder that you may write"):
        hs.rank(reviews(), starts=["scratch/tfidf"], out=str(tmp_path / "file"), **SMALL)
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("step", ["build", "score", "train_a_moment"])
def test_a_request_to_stop_is_heeded_whatever_it_meets(step, tmp_path, monkeypatch):
    do = getattr(module, step)

    def interrupted(*given, **named):
        os.kill(os.getpid(), signal.SIGINT)
        return do(*given, **named)

    monkeypatch.setattr(module, step, interrupted)
    start = "scratch/tfidf" if step == "score" else "scratch/bert-tiny"
    with pytest.raises(Interrupted, match="nothing was written"):
        hs.rank(reviews(60), starts=[start], out=str(tmp_path), **QUICK)
    assert not list(tmp_path.iterdir())
