"""A step that does not fit the memory of the machine begins in smaller micro-batches."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from headstart.data import decode, load
from headstart.errors import DeviceError
from headstart.events import listen
from headstart.starts import find_start
from headstart.training.company import ALONE
from headstart.training.machine import memory
from headstart.training.options.defaults import DEFAULTS
from headstart.training.options.training_options import TrainingOptions
from headstart.training.processes.environment import num_local_processes
from headstart.tuning import memory as memory_fit
from headstart.tuning.grid import Search
from headstart.tuning.hooks import share_of
from headstart.tuning.memory import MemoryPlan, settle_micro_batch
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.tune import tune

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    return load("digits-8x8")


@pytest.fixture(autouse=True)
def no_swap(monkeypatch):
    monkeypatch.setattr(memory, "free_swap_bytes", lambda: 0)


def make(data, strategy="full", start="scratch/simple-cnn", **changes):
    words = {"num_steps": 4, "batch_size": 64, "ema": False} | changes
    return set_up(data, find_start(start), TrainingOptions(strategy=strategy, **words), device=CPU)


def samples(data, bench, num=200):
    return decode(data, "train", bench.spec, indices=np.arange(num)), decode(
        data, "val", bench.spec, indices=np.arange(40)
    )


def train(data, monkeypatch, free, bench=None, search=None, **known):
    """Train with so many bytes free; return the bench, how it went, passes' sizes, and events."""
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: free)
    bench = bench or make(data)
    sizes, told, settled = [], [], {}
    forward = bench.model.forward

    def seen(*inputs):
        if bench.model.training:
            sizes.append(len(inputs[0]))
        return forward(*inputs)

    monkeypatch.setattr(bench.model, "forward", seen)
    parts = samples(data, bench)
    plan = MemoryPlan(on_settled=settled.update, **known)
    with listen(lambda kind, fields: told.append((kind, fields))):
        values = {"checkpoints": None, "deadline": None, "stop_requested": lambda: False}
        tuned = tune(bench, *parts, memory=plan, search=search, **values)
    state = tuned.result.state
    words = [f for kind, f in told if kind in ("choice", "note")]
    return SimpleNamespace(bench=bench, state=state, sizes=sizes, words=words, settled=settled)


def weights(done):
    return done.bench.model.state_dict()


def step_bytes(data, monkeypatch, **words):
    return train(data, monkeypatch, 2**40, make(data, **words)).settled["step_bytes"]


def test_with_room_enough_nothing_changes_and_nothing_is_said(data, monkeypatch):
    roomy, unknown = (train(data, monkeypatch, free) for free in (2**40, None))
    assert roomy.sizes[-4:] == unknown.sizes == [64] * 4
    assert roomy.words == unknown.words == []
    assert roomy.state.micro_batch_size is None
    assert roomy.settled["micro_batch_size"] is None
    assert unknown.settled == {}  # nothing was measured
    for name, value in weights(unknown).items():
        assert torch.equal(value, weights(roomy)[name]), name


def test_without_room_the_micro_batch_halves_and_the_batch_stays(data, monkeypatch):
    whole = train(data, monkeypatch, None)
    needed = step_bytes(data, monkeypatch)
    tight = train(data, monkeypatch, needed)  # four fifths of it may be taken
    assert tight.sizes[-8:] == [32] * 8
    assert tight.state.micro_batch_size == tight.settled["micro_batch_size"] == 32
    assert tight.settled["step_bytes"] <= 0.8 * needed
    (word,) = tight.words
    assert (word["name"], word["value"]) == ("micro_batch_size", 32)
    size = f"{needed / 1e6:.0f} MB"
    why = f"a step of 64 samples needs about {size}, {size} are free; the batch stays whole"
    assert word["why"] == why
    for name, value in weights(whole).items():
        assert torch.allclose(value, weights(tight)[name], atol=1e-4), name


def test_short_trials_of_learning_rates_fit_too(data, monkeypatch):
    needed = step_bytes(data, monkeypatch)
    row = DEFAULTS["scratch/simple-cnn"]
    monkeypatch.setitem(DEFAULTS, "scratch/simple-cnn", replace(row, grid=(1.0, 2.0)))
    search = Search(is_asked=True, on_chosen=lambda rate, rows: None)
    tight = train(data, monkeypatch, needed, search=search)
    # two trials and the training; before them a pass of two and one of three samples
    assert tight.sizes == [2, 3] + 3 * [32] * 8


def test_what_the_user_said_stays_and_a_misfit_is_told(data, monkeypatch):
    needed = step_bytes(data, monkeypatch)
    said = train(data, monkeypatch, needed, is_said=True)
    assert said.sizes[-4:] == [64] * 4
    assert said.settled == {"micro_batch_size": None, "step_bytes": needed, "processes": 1}
    (word,) = said.words
    assert word["text"].startswith("A step of 64 samples needs about ")
    assert word["text"].endswith("--micro-batch-size 32 would fit.")
    bench = make(data, micro_batch_size=16)
    assert train(data, monkeypatch, needed, bench, is_said=True).words == []


@pytest.mark.parametrize("free", [2**20, 2**40, None])
def test_a_later_life_keeps_what_was_settled_whatever_is_free(data, monkeypatch, free):
    former = {"micro_batch_size": 16, "step_bytes": 2**25, "processes": 1}
    later = train(data, monkeypatch, free, former=former)
    assert later.sizes == [16] * 16
    assert later.settled == {}
    assert later.words[0]["why"] == "chosen before the run was interrupted"
    warned = [word["text"] for word in later.words[1:]]
    assert len(warned) == (free == 2**20)
    assert all(
        "A step needs about 34 MB, more than 80% of the 1 MB that" in text for text in warned
    )
    whole = {"micro_batch_size": None, "step_bytes": 2**25, "processes": 1}
    assert train(data, monkeypatch, free, former=whole).sizes == [64] * 4


def test_where_not_even_one_sample_fits_it_is_said_and_tried(data, monkeypatch):
    whole = make(data)
    learning = memory_fit.learning_bytes(whole.model, whole.recipe)
    least = train(data, monkeypatch, learning)
    assert least.state.micro_batch_size == 1
    assert "Even micro-batches of 1 need about" in least.words[1]["text"]
    alone = train(data, monkeypatch, learning, make(data, micro_batch_size=1))
    assert [*alone.words[0]] == ["text"]


def test_where_learning_alone_does_not_fit_it_is_refused(data, monkeypatch):
    bench = make(data)
    learning = memory_fit.learning_bytes(bench.model, bench.recipe)
    with pytest.raises(DeviceError, match=r"take .* MB under strategy full, and .* are free"):
        train(data, monkeypatch, learning - 1)
    monkeypatch.setattr(memory, "free_swap_bytes", lambda: 2**20)  # slow, but not hopeless
    assert train(data, monkeypatch, learning - 1).state.micro_batch_size == 1


def test_freed_memory_is_given_back_before_a_step_is_said_not_to_fit(data, monkeypatch):
    needed = step_bytes(data, monkeypatch)
    amounts = iter([needed, 2 * needed])
    given = []
    monkeypatch.setattr(memory, "give_back_freed_memory", lambda: given.append(True))
    bench = make(data)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: next(amounts))
    found = settle(data, bench)
    assert (found, given) == (None, [True])


def several(size):
    """Return so many processes, on as many machines as the launcher says."""
    return SimpleNamespace(size=size, num_local=num_local_processes(size))


def settle(data, bench, plan=None, num=200, company=ALONE):
    """Settle the micro-batch of a bench that nothing else has touched."""
    from headstart.tuning.hooks import uncut
    from headstart.tuning.phases import Phases

    if bench.size is None:
        inputs = prepare_sample(data, "train", bench, num, seed=0)
    else:
        inputs, _ = samples(data, bench, num)
    share = share_of(ALONE, bench.recipe)
    phases = Phases(bench, inputs, lambda phase: uncut(bench, inputs, share, 0))
    return settle_micro_batch(bench, inputs, phases, share, plan or MemoryPlan(), company)


@pytest.mark.parametrize("start", ["scratch/resnet18", "scratch/simple-cnn"])
def test_measuring_leaves_the_model_as_it_was(data, monkeypatch, start):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**40)
    bench = make(data, start=start, dropout=0.2)
    model = bench.model
    before = {n: t.clone() for n, t in model.state_dict().items()}
    modes, random = [m.training for m in model.modules()], torch.get_rng_state()
    flags = [p.requires_grad for p in model.parameters()]
    settle(data, bench)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_statistics_of_a_micro_batch_want_two_samples_and_are_mentioned(data, monkeypatch):
    bench = make(data, start="scratch/resnet18")
    learning = memory_fit.learning_bytes(bench.model, bench.recipe)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: learning)
    told = []
    with listen(lambda kind, fields: told.append(fields)):
        assert settle(data, bench) == 2
    assert "statistics of BatchNorm and mixing are those of a micro-batch" in told[0]["why"]


def test_a_save_counts_for_a_copy_and_a_frozen_layer_for_nothing(data, monkeypatch):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**40)
    found = {}
    for name, strategy, saved in (
        ("whole", "full", False),
        ("saved", "full", True),
        ("last", "last-n", False),
        ("gradual", "gradual", False),
    ):
        told = {}
        settle(data, make(data, strategy), MemoryPlan(is_saved=saved, on_settled=told.update))
        found[name] = told["step_bytes"]
    bench = make(data)
    learning = memory_fit.learning_bytes(bench.model, bench.recipe)
    assert found["saved"] == found["whole"] + learning
    assert found["last"] < found["whole"]
    # in the end everything learns
    assert found["gradual"] == pytest.approx(found["whole"], rel=0.01)


def test_the_longest_text_decides_and_a_cut_network_takes_less(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    draws = np.random.default_rng(0)
    words = np.array(["warm", "cold", "film", "plot", "cast", "joke"])
    lengths = np.r_[np.full(58, 6), [60, 60]]
    texts = [" ".join(draws.choice(words, num)) for num in lengths]
    frame = pd.DataFrame({"text": texts, "label": ["a", "b"] * 30})
    short = frame.assign(text=[" ".join(text.split()[:6]) for text in texts])
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**40)

    def needed(table, strategy, **changes):
        data = load(table, label="label", val_fraction=0.1, test_fraction=0.1, seed=1)
        words = {"batch_size": 16, "num_steps": 4} | changes
        options = TrainingOptions(strategy=strategy, **words)
        bench = set_up(data, find_start("scratch/bert-tiny"), options, device=CPU)
        parts = [prepare_sample(data, name, bench, None, seed=0) for name in ("train", "val")]
        told = {}
        tune(
            bench, *parts, checkpoints=None, deadline=None, stop_requested=lambda: False,
            memory=MemoryPlan(on_settled=told.update),
        )  # fmt: skip
        return told["step_bytes"]

    long = needed(frame, "full")
    assert long > 1.05 * needed(short, "full")
    cut, uncut = (needed(frame, "last-n", views=views) for views in (1, 0))
    assert cut <= uncut < long


def test_processes_of_one_machine_share_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 1_000)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert memory_fit._free_bytes(ALONE) == 1_000
    assert memory_fit._free_bytes(several(8)) == 125
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert memory_fit._free_bytes(several(8)) == 500


def test_swap_is_shared_among_the_processes_of_a_machine_too(data, monkeypatch):
    bench = make(data)
    learning = memory_fit.learning_bytes(bench.model, bench.recipe)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: learning)
    monkeypatch.setattr(memory, "free_swap_bytes", lambda: learning - 2)
    pair = several(2)
    with pytest.raises(DeviceError, match="are free; expected room"):
        settle(data, bench, company=pair)
    monkeypatch.setattr(memory, "free_swap_bytes", lambda: learning + 2)
    assert settle(data, bench, company=pair) == 1


def test_nothing_free_is_not_taken_for_unknown(data, monkeypatch):
    amounts = iter([2**40, 2**20, 0])
    bench = make(data)
    learning = memory_fit.learning_bytes(bench.model, bench.recipe)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: next(amounts))
    assert settle(data, bench) is None
    with pytest.raises(DeviceError, match=f"{learning / 1e6:.0f} MB .*, and 0 MB are free"):
        settle(data, bench)


def test_another_number_of_processes_settles_anew(data, monkeypatch):
    needed = step_bytes(data, monkeypatch)
    former = {"micro_batch_size": None, "step_bytes": needed // 2, "processes": 2}
    alone = train(data, monkeypatch, needed, former=former)
    assert alone.state.micro_batch_size == 32
    assert alone.words[0]["why"].startswith("a step of 64 samples needs about ")
    assert (alone.settled["micro_batch_size"], alone.settled["processes"]) == (32, 1)
    told = {}
    plan = MemoryPlan(former=alone.settled, on_settled=told.update)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    # with half of the memory each
    assert settle(data, make(data), plan, company=several(2)) == 16
    assert (told["micro_batch_size"], told["processes"]) == (16, 2)
    assert settle(data, make(data), MemoryPlan(former=alone.settled)) == 32


@pytest.mark.parametrize(("later", "num_notes"), [(1_250, 0), (1_249, 1)])
def test_a_later_life_gives_freed_memory_back_and_counts_the_same_share(
    data, monkeypatch, later, num_notes
):
    amounts, given, told = iter([1_000, later * 10**6]), [], []
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: next(amounts))
    monkeypatch.setattr(memory, "give_back_freed_memory", lambda: given.append(True))
    former = {"micro_batch_size": None, "step_bytes": 10**9, "processes": 1}
    with listen(lambda kind, fields: told.append(kind)):
        assert settle(data, make(data), MemoryPlan(former=former)) is None
    assert given == [True]
    assert told == ["note"] * num_notes


def test_a_smaller_input_is_offered_only_where_there_is_a_size(data, monkeypatch):
    draws = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draws.normal(size=60), "label": ["a", "b"] * 30})
    table = load(frame, label="label", val_fraction=0.1, test_fraction=0.1, seed=1)
    said = []
    for source, start in ((data, "scratch/simple-cnn"), (table, "scratch/mlp")):
        bench = make(source, start=start)
        learning = memory_fit.learning_bytes(bench.model, bench.recipe)
        monkeypatch.setattr(memory, "free_memory_bytes", lambda free=learning: free)
        words = []
        with listen(lambda kind, fields, words=words: words.append(fields.get("text", ""))):
            settle(source, bench, num=40)
        said.append(words[-1])
    assert all(text.startswith("Even micro-batches of 1 need") for text in said)
    assert ["--input-size" in text for text in said] == [True, False]
