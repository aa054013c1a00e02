"""Batches made ahead: the same bits for every number of workers, and nothing else that changes."""

import gc
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import PixelInputs, Training, blob_images, short_recipe
from torch import nn

from headstart.events import listen
from headstart.preprocessing.inputs import Cells, Tokens
from headstart.training.batches import prefetch, sample_feed
from headstart.training.batches.cached_feed import CachedFeed
from headstart.training.batches.order import Share
from headstart.training.batches.sample_feed import SampleFeed
from headstart.training.frozen.activations import ActivationCache, Layout, activation_key
from headstart.training.frozen.cut import cut_network

CPU = torch.device("cpu")
MIXED = {"augment": "light", "mixup": 0.2, "cutmix": 0.5, "micro_batch_size": 5}


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "feed"]


def ended():
    """Return whether no thread is left, after what is being made has let go of its feed."""
    deadline = time.monotonic() + 100
    while threads() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.005)
    return not threads()


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert ended()


def image_feed(num_workers, share=None, **changes):
    images, targets, ids = blob_images()
    recipe = short_recipe(num_workers=num_workers, **changes)
    inputs = PixelInputs(images, targets, ids)
    return SampleFeed(inputs, targets, recipe, CPU, share or Share())


def text_feed(num_workers, tmp_path):
    draws = np.random.default_rng(0)
    lengths = draws.integers(1, 30, 96)
    flat = draws.integers(5, 99, lengths.sum()).astype(np.int32)
    offsets, targets = np.concatenate([[0], np.cumsum(lengths)]), np.arange(96) % 3
    inputs = Tokens(flat, offsets, 0, 30, targets, np.arange(96), [""] * 96)
    recipe = short_recipe(num_workers=num_workers, imbalance="oversample")
    return SampleFeed(inputs, targets, recipe, CPU)


def table_feed(num_workers, tmp_path):
    draws, targets = np.random.default_rng(0), np.arange(96) % 3
    numbers = draws.normal(size=(96, 4)).astype(np.float32)
    inputs = Cells(numbers, draws.integers(0, 9, (96, 2)), targets, np.arange(96), [""] * 96)
    return SampleFeed(inputs, targets, short_recipe(num_workers=num_workers), CPU)


def cached_feed(num_workers, tmp_path):
    """Return a feed of two views of what crosses a cut."""
    images, targets, ids = blob_images()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 3))
    net[0].requires_grad_(False)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    cut = cut_network(net, (pixels[:4],))
    layout, cache = Layout(cut.kept, 96), ActivationCache(tmp_path, 10**9)
    stores = [
        cache.fill(
            activation_key({"view": view}),
            layout,
            [(np.arange(96), cut.compute(pixels + 0.1 * view))],
            about=f"view {view}",
        )
        for view in range(2)
    ]
    inputs = PixelInputs(images, targets, ids)
    recipe = short_recipe(num_workers=num_workers, micro_batch_size=6)
    return CachedFeed(inputs, targets, recipe, CPU, cut, stores)


KINDS = {
    "mixed images": lambda num_workers, tmp_path: image_feed(num_workers, **MIXED),
    "views of images": lambda num_workers, tmp_path: image_feed(
        num_workers, augment="standard", views=3
    ),
    "half of each step": lambda num_workers, tmp_path: image_feed(
        num_workers, Share(1, 2), **MIXED
    ),
    "texts": text_feed,
    "tables": table_feed,
    "what crosses a cut": cached_feed,
}


def content(batches):
    """Return all that a batch holds, as bytes, and how its inputs lie in memory."""
    return [
        (
            [(t.numpy().tobytes(), t.stride()) for t in batch.tensors],
            batch.share,
            batch.ids.tolist(),
            batch.part,
        )
        for batch in batches
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_workers_gives_the_same_batches(kind, tmp_path):
    steps = range(15)  # two and a half epochs
    alone = KINDS[kind](0, tmp_path)
    expected = [content(alone.batches(step)) for step in steps]
    assert not threads()
    for num_workers in (1, 2, 4):
        feed = KINDS[kind](num_workers, tmp_path)
        assert [content(feed.batches(step)) for step in steps] == expected
        assert len(threads()) == num_workers
        feed.close()


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_a_training_ends_in_the_same_bits(num_workers):
    changes = {**MIXED, "optimizer": "adamw", "ema_half_life": 0.1, "num_steps": 40}
    digests = []
    for number in (0, num_workers):
        training = Training(short_recipe(**changes, num_workers=number), dropout=0.3)
        training.run()
        training.feed.close()
        digests.append(training.digest())
    assert digests[0] == digests[1]


def test_steps_may_be_asked_again_out_of_order_in_other_sizes_and_left_midway():
    alone, feed = image_feed(0, **MIXED), image_feed(2, **MIXED)
    for step, size in [(0, None), (0, None), (1, None), (1, 3), (2, 3), (9, 3), (4, None), (5, 1)]:
        assert content(feed.batches(step, size)) == content(alone.batches(step, size)), step
        next(feed.batches(step, size))  # the first micro-batch only
    assert content(feed.whole(5)) == content(alone.whole(5))
    feed.close()
    assert content(feed.batches(6)) == content(alone.batches(6))  # closed is not dead
    feed.close()


class Watched(PixelInputs):
    """Images that count who reads them, and fail or wait as told."""

    def __init__(self):
        images, targets, ids = blob_images()
        super().__init__(images, targets, ids)
        self.reads, self.fails, self.gate = [], {}, threading.Event()
        self.gate.set()

    def arrays(self, places):
        self.reads.append((threading.current_thread().name, tuple(places)))
        assert self.gate.wait(200)
        for place in places:
            if (error := self.fails.pop(int(place), None)) is not None:
                raise error
        return super().arrays(places)


def watched_feed(num_workers, **changes):
    inputs = Watched()
    recipe = short_recipe(num_workers=num_workers, **changes)
    return inputs, SampleFeed(inputs, inputs.targets, recipe, CPU)


def test_no_more_is_made_ahead_than_a_batch_a_worker_and_one():
    inputs, feed = watched_feed(2, micro_batch_size=4)
    batches = feed.batches(0)
    for used in range(1, 4):
        next(batches)
        deadline = time.monotonic() + 100
        while len(inputs.reads) < used + 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(inputs.reads) == used + 3
    assert {name for name, _ in inputs.reads} == {"feed"}
    feed.close()


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_an_error_of_a_worker_is_raised_at_its_own_micro_batch_and_only_there(num_workers):
    inputs, feed = watched_feed(num_workers, micro_batch_size=4)
    broken = int(feed.order.indices(2)[9])  # in the third micro-batch of step 2
    inputs.fails[broken] = OSError("a disk that went away")
    for step in (0, 1):
        assert len(list(feed.batches(step))) == 4
    batches = feed.batches(2)
    assert len([next(batches), next(batches)]) == 2
    with pytest.raises(OSError, match="a disk that went away"):
        next(batches)
    # asked again it is made again
    assert content(feed.batches(2)) == content(image_feed(0, micro_batch_size=4).batches(2))
    feed.close()


def test_memory_that_runs_out_in_a_worker_halves_the_micro_batch_of_that_step():
    training = Training(short_recipe(num_workers=2), norm=False)
    inputs = Watched()
    training.feed = SampleFeed(inputs, inputs.targets, training.recipe, CPU)
    broken = int(training.feed.order.indices(4)[3])
    inputs.fails[broken] = torch.OutOfMemoryError("no room for what comes next")
    choices = []
    with listen(lambda kind, fields: choices.append(fields) if kind == "choice" else None):
        result = training.run()
    training.feed.close()
    assert result.state.micro_batch_size == 8
    assert ["out of memory with 16 at step 4" in choice["why"] for choice in choices] == [True]
    assert len(training.losses) == 4 + 2 * 16
    whole = Training(short_recipe(), norm=False)
    whole.run()
    for name, value in whole.module.state_dict().items():
        assert torch.allclose(value, training.module.state_dict()[name], atol=1e-5), name


def test_a_worker_leaves_random_state_gradient_mode_and_threads_as_they_are():
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    feed = image_feed(2, **MIXED)
    for step in range(8):
        list(feed.batches(step))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert torch.get_num_threads() == before[2]
    assert torch.is_grad_enabled()
    feed.close()


def test_a_worker_that_cannot_begin_says_so_instead_of_keeping_the_training_waiting(monkeypatch):
    def refuse(here, device):
        raise RuntimeError("no stream to be had")

    monkeypatch.setattr(prefetch, "_own_stream", refuse)
    feed = image_feed(2)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no stream to be had"):
            list(feed.batches(0))
    feed.close()


@pytest.mark.gpu
def test_on_a_gpu_copies_on_streams_of_their_own_arrive_before_they_are_used(monkeypatch):
    monkeypatch.setattr(sample_feed, "_resident", lambda inputs, device: None)
    images, targets, ids = blob_images()
    inputs, found = PixelInputs(images, targets, ids), []
    for num_workers in (0, 1, 2, 4):
        recipe = short_recipe(num_workers=num_workers, **MIXED)
        feed = SampleFeed(inputs, targets, recipe, torch.device("cuda"))
        sums = []
        for step in range(60):
            for batch in feed.batches(step):
                sums.append(batch.inputs[0].double().sum() + batch.targets.sum())
                torch.randn(2000, 2000, device="cuda") @ torch.randn(2000, 2000, device="cuda")
        feed.close()
        found.append(torch.stack(sums).tolist())
    assert found == [found[0]] * 4


def test_what_nobody_closes_ends_with_its_feed():
    feed = image_feed(2)
    list(feed.batches(0))
    assert len(threads()) == 2
    assert all(thread.daemon for thread in threads())
    del feed
    assert ended()


PROGRAM = """
import signal, sys, threading, time
sys.path.insert(0, {path!r})
from test_prefetch import watched_feed

inputs, feed = watched_feed(2)
list(feed.batches(0))
inputs.gate.clear()  # what is made from now on does not come
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.2)
began = time.monotonic()
try:
    for step in range(1, 9):
        list(feed.batches(step))
except KeyboardInterrupt:
    assert not inputs.gate.is_set()  # it was left although no batch had come
    print("left after", time.monotonic() - began)
    inputs.gate.set()
"""


def test_a_signal_is_answered_while_a_batch_is_waited_for_and_the_process_ends(tmp_path):
    program = PROGRAM.format(path=str(Path(__file__).parent))
    # what waits for a batch that does not come would wait for longer than this
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("left after")
    assert not done.stderr


def test_by_itself_a_cpu_gets_no_worker_and_what_is_asked_for_is_done():
    assert image_feed(None).num_workers == 0
    assert replace(short_recipe(), num_workers=3).num_workers == 3
    assert image_feed(3).num_workers == 3
