"""The main job: the start is chosen, the budget kept, and the choice told."""

import importlib
import json
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clocks import ProcessorClock, set_clock
from small_runs import few_digits

import headstart as hs
from headstart.errors import StartError
from headstart.events import listen
from headstart.ranking import default_starts, screen
from headstart.ranking.late import Opening
from headstart.recipes import search as search_module
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing import boosting
from headstart.tuning.budget import Budget
from headstart.types import Figure


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def data():
    return hs.load("digits-8x8")


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    """Fit once with a budget of work; return the run, its events and the seconds it took."""
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, ProcessorClock())
        return fit_once(data, tmp_path_factory.mktemp("fit") / "run")


def fit_once(data, out):
    heard: list[tuple[str, dict[str, object]]] = []
    began = time.monotonic()
    with listen(lambda kind, fields: heard.append((kind, fields))):
        run = hs.fit(data, budget="20s", out=str(out), device="cpu")
    return run, heard, time.monotonic() - began


def test_fit_ends_within_its_budget_and_five_percent(fitted):
    _, _, seconds = fitted
    assert seconds < 20 * 1.05


@pytest.mark.slow
def test_fit_ends_within_its_budget_on_the_wall_too(data, tmp_path):
    _, _, seconds = fit_once(data, tmp_path / "run")
    assert seconds < 20 * 1.05


def test_fit_learns_digits(fitted):
    run, _, _ = fitted
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9


def test_fit_tells_its_candidates_and_why_it_chose(fitted):
    run, heard, _ = fitted
    candidates = run.options["candidates"]
    assert {c["start"] for c in candidates} >= {"scratch/quick-cnn-small", "pip/efficientnet-lite0"}
    scores = [c["score"] for c in candidates if c["score"] is not None]
    assert scores == sorted(scores, reverse=True)
    assert all(c["low"] <= c["score"] <= c["high"] for c in candidates if c["score"] is not None)
    assert all(c["note"] for c in candidates)
    chosen = [f for kind, f in heard if kind == "choice" and f["name"] == "start"]
    assert chosen[0]["value"] == candidates[0]["start"]


def test_a_usable_model_exists_before_the_fine_tuning(tmp_path, work_clock):
    out = tmp_path / "run"
    found: list[bool] = []

    def listener(kind: str, fields: dict[str, object]) -> None:
        if kind == "stage" and str(fields["text"]).startswith("Fine-tuning"):
            found.append((out / "model.safetensors").exists() and (out / "model.json").exists())

    with listen(listener):
        hs.fit(
            few_digits(), budget="12s", out=str(out), starts=["scratch/simple-cnn"], device="cpu"
        )
    assert found
    assert all(found)


def test_candidates_that_need_no_network_the_quickest_first(data):
    starts = default_starts(data, budget_seconds=60)
    assert [s.address for s in starts[:2]] == ["scratch/pixels", "scratch/quick-cnn-small"]
    assert all(s.is_local for s in starts)
    pretrained = [s for s in starts if s.pretrained_on]
    assert len(pretrained) == 1
    longer = default_starts(data, budget_seconds=3600)
    assert len(longer) > len(starts)
    assert longer[1].pretrained_on  # a head of its features is there before a training has begun


def passes_take(monkeypatch, **seconds):
    """Let a pass take so many seconds a sample, by start, however fast this machine is."""

    def said(setup, dataset):
        name = setup.model.encoder.start.address.removeprefix("scratch/")
        return seconds[name.replace("-", "_")]

    monkeypatch.setattr("headstart.tuning.cost.measure_pass", said)


def test_a_start_too_slow_for_its_share_is_left_out_and_says_so(monkeypatch, work_clock):
    passes_take(monkeypatch, simple_cnn=1e-5, resnet18=1.0)
    starts = [find_start(a) for a in ("scratch/simple-cnn", "scratch/resnet18")]
    candidates = screen(
        few_digits(),
        starts,
        budget=Budget(12),
        seconds=2.4,
        asked=TrainingOptions(),
        device=torch.device("cpu"),
        on_made=lambda *_: None,
    )
    assert [c.start.address for c in candidates] == [s.address for s in starts]
    assert np.isnan(candidates[1].score.value)
    assert "left out" in candidates[1].note


def test_where_all_are_too_slow_to_be_scored_the_quickest_is_trained(monkeypatch, still_clock):
    passes_take(monkeypatch, resnet18=0.02, simple_cnn=0.01)
    kept = []
    candidates = screen(
        few_digits(),
        [find_start(a) for a in ("scratch/resnet18", "scratch/simple-cnn")],
        budget=Budget(3600),
        seconds=0.36,
        asked=TrainingOptions(),
        device=torch.device("cpu"),
        on_made=lambda setup, *_: kept.append(setup),
    )
    assert [c.start.address for c in candidates] == ["scratch/simple-cnn", "scratch/resnet18"]
    assert all(np.isnan(c.score.value) for c in candidates)
    assert all(c.note.startswith("not scored: a step takes about") for c in candidates)
    assert kept == []


def test_a_fit_on_a_machine_too_slow_to_compare_ends_with_a_model(
    tmp_path, monkeypatch, work_clock
):
    passes_take(monkeypatch, simple_cnn=0.01)
    starts = ["scratch/simple-cnn"]
    run = hs.fit(few_digits(), budget="30s", out=str(tmp_path / "run"), starts=starts)
    assert "none of 1 could be scored" in run.report()
    assert run.predict(np.zeros((1, 8, 8), np.uint8))


def test_when_nothing_can_be_tried_the_reason_is_told(monkeypatch, work_clock, heard):
    passes_take(monkeypatch, resnet18=1.0, simple_cnn=1e-4)
    with pytest.raises(
        StartError, match=r"None of 1 starts could be tried: scratch.resnet18 left out: Start "
    ) as told:
        screen(
            few_digits(),
            [find_start("scratch/resnet18")],
            budget=Budget(11),
            seconds=1.1,
            asked=TrainingOptions(),
            device=torch.device("cpu"),
            on_made=lambda *_: None,
        )
    assert made_by_screening(few_digits(), ["scratch/simple-cnn"])  # another start, as advised
    heard(told.value)


def made_by_screening(data, addresses, **said):
    """Return the candidates, and the models that screening has made, by address."""
    kept = {}
    candidates = screen(
        data,
        [find_start(address) for address in addresses],
        budget=Budget(600),
        seconds=60.0,
        asked=TrainingOptions(**said),
        device=torch.device("cpu"),
        on_made=lambda setup, val, logits, _: kept.update(
            {setup.model.encoder.start.address: logits}
        ),
    )
    return candidates, kept


@pytest.mark.parametrize("address", ["scratch/linear", "scratch/boosting"])
def test_what_screening_makes_weighs_rare_classes_where_that_was_asked_for(address, monkeypatch):
    monkeypatch.setattr(boosting, "SETTINGS", boosting.SETTINGS[:1])
    # a fit hands over what screening has made of a table: it obeys --imbalance, too
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 3))
    rare = rows[:, 0] + rng.normal(size=600) > 2.2
    data = hs.load((rows, np.where(rare, "rare", "usual")))
    found = {}
    for imbalance in ("none", "weights"):
        logits = made_by_screening(data, [address], imbalance=imbalance)[1][address]
        place = data.schema.classes.index("rare")
        found[imbalance] = (np.asarray(logits).argmax(1) == place).sum()
    assert found["weights"] > found["none"]


def test_adapters_are_tried_on_transformers_alone():
    asked = ["scratch/simple-cnn", "scratch/vit-tiny"]
    candidates, kept = made_by_screening(few_digits(), asked, strategy="lora")
    assert list(kept) == ["scratch/vit-tiny"]
    assert "LoRA cannot be used with 'scratch/simple-cnn'" in candidates[1].note


def test_the_library_of_a_network_is_not_read_where_that_would_outlast_the_budget(
    monkeypatch, still_clock
):
    tfidf, bert = find_start("scratch/tfidf"), find_start("scratch/bert-tiny")
    worked = iter([0.0, 0.5])
    monkeypatch.setattr(time, "process_time", lambda: next(worked))
    opening = Opening()
    still_clock.sleep(2.0)  # of which half a second was work: the cores are taken by others
    budget = Budget(20)
    assert opening.refusal(tfidf, budget) is None
    told = opening.refusal(bert, budget)
    assert told is not None
    assert "about 20 s, and 20 s of the budget are left" in told
    opening.note(bert)
    assert opening.refusal(bert, budget) is None


def test_an_interrupted_fit_goes_on_with_its_choice(tmp_path, work_clock):
    out = tmp_path / "run"

    def interrupt(kind: str, fields: dict[str, object]) -> None:
        if kind == "stage" and str(fields["text"]).startswith("Fine-tuning"):
            raise KeyboardInterrupt

    words = {"budget": "30s", "out": str(out), "starts": ["scratch/simple-cnn"], "device": "cpu"}
    with listen(interrupt), pytest.raises(hs.Interrupted, match="--resume"):
        hs.fit(few_digits(), **words)
    plan = json.loads(Path(out / "state" / "plan.json").read_text())
    assert plan["decisions"]["start"]["value"]["start"] == "scratch/simple-cnn"
    assert plan["spent_seconds"] > 0
    stages: list[object] = []
    with listen(lambda kind, f: stages.append(f.get("text")) if kind == "stage" else None):
        run = hs.fit(few_digits(), **words, resume=True)
    assert "Choosing the start" not in stages
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9


def test_screening_keeps_no_model_but_the_best(monkeypatch):
    ranking = importlib.import_module("headstart.ranking.screen")
    starts = [find_start(f"scratch/{n}") for n in ("simple-cnn", "resnet18", "vit-tiny")]
    scores = dict(zip((s.address for s in starts), (0.8, 0.9, 0.7), strict=True))
    alive: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
    met, kept = [], []

    def attempt(dataset, start, *_, **__):
        met.append(len(alive))
        setup, value = torch.nn.Identity(), scores[start.address]
        alive.add(setup)
        figure = Figure(value, value, value)
        return ranking.Candidate(start, 8, "full", "accuracy", figure, 0.1, 1.0, ""), setup, 0, 0

    monkeypatch.setattr(ranking, "try_start", attempt)
    ranking.screen(
        hs.load("digits-8x8"),
        starts,
        budget=Budget(None),
        seconds=60.0,
        asked=TrainingOptions(),
        device=None,
        on_made=lambda setup, _v, _l, is_better: (
            kept.__setitem__(slice(None), [setup]) if is_better else None
        ),
    )
    assert met == [0, 1, 1]
    assert list(alive) == kept


def test_a_start_that_is_refused_late_does_not_cost_the_others_their_turn(monkeypatch):
    ranking = importlib.import_module("headstart.ranking.screen")
    slow, quick, third = (
        find_start(f"scratch/{n}") for n in ("resnet18", "simple-cnn", "vit-tiny")
    )
    budget = SimpleNamespace(limit_seconds=10.0, spent=0.0, left=10.0, load=1.0)

    def attempt(dataset, start, budget, allowance, **_):
        budget.spent += 5.0  # more than the whole share
        if start is slow:
            raise StartError("too slow.")
        figure = Figure(0.9, 0.8, 1.0)
        found = ranking.Candidate(start, 8, "full", "accuracy", figure, 0.1, 5.0, "")
        return found, None, None, None

    monkeypatch.setattr(ranking, "try_start", attempt)
    options = {
        "budget": budget,
        "seconds": 2.0,
        "asked": TrainingOptions(),
        "device": None,
        "on_made": lambda *_: None,
    }
    data = hs.load("digits-8x8")
    notes = [c.note for c in ranking.screen(data, [slow, quick, third], **options)]
    spent = "left out: screening's share of the budget is spent"
    assert sorted(notes) == ["", spent, "left out: too slow."]
    with pytest.raises(
        StartError, match=r"2 starts .*resnet18 left out: too slow; .*resnet18 left"
    ):
        ranking.screen(data, [slow, slow], **options)


@pytest.mark.parametrize(
    ("asked", "others", "told"),
    [
        ("auto", [], None),
        ("head", [], None),
        ("full", [], "there was no time for that; raise --budget."),
        ("full", ["full"], "val says that it is better."),
    ],
)
def test_what_is_not_made_as_the_user_asked_is_handed_over_with_a_word(asked, others, told, heard):
    def made(name):
        setup = SimpleNamespace(strategy=SimpleNamespace(name=name))
        return SimpleNamespace(name=f"a {name}", setup=setup)

    found = SimpleNamespace(winner=made("head"), others=[made(name) for name in others])
    notes = []
    with listen(lambda kind, fields: notes.append(fields["text"])):
        search_module._tell_strategy(found, asked)
    why = f"--strategy {asked} was asked for, and a head is handed over: {told}"
    assert notes == ([] if told is None else [why])
    if notes and not others:  # with a budget in which it is tried, nothing asks for one
        tried = SimpleNamespace(winner=made("head"), others=[made(asked)])
        with listen(lambda kind, fields: notes.append(fields["text"])):
            search_module._tell_strategy(tried, asked)
        assert "raise --budget" not in notes[1]
        heard(notes[0])


def test_where_the_budget_is_spent_and_nothing_is_usable_no_other_start_is_built(
    data, monkeypatch, still_clock
):
    ranking = importlib.import_module("headstart.ranking.screen")
    tried = []

    def attempt(dataset, start, *_, **__):
        tried.append(start.address)
        time.sleep(11.0)
        raise StartError("too slow.")

    monkeypatch.setattr(ranking, "try_start", attempt)
    starts = [find_start(f"scratch/{name}") for name in ("simple-cnn", "resnet18", "vit-tiny")]
    with pytest.raises(StartError, match="resnet18 left out: the whole budget is spent"):
        screen(
            data,
            starts,
            budget=Budget(12.0),
            seconds=2.0,
            asked=TrainingOptions(),
            device=torch.device("cpu"),
            on_made=lambda *_: None,
        )
    assert tried == ["scratch/simple-cnn"]
