import copy
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from headstart.errors import DataError, OptionError
from headstart.storage.cache import cache_limit, clear_cache, list_cache, make_room
from headstart.training.batches.augment import POLICIES, augment
from headstart.training.batches.order import Order
from headstart.training.frozen.activations import ActivationCache, Layout, activation_key
from headstart.training.frozen.cut import cut_network
from headstart.training.frozen.slots import Slot, in_order, memory_order
from headstart.training.frozen.views import views_at, views_seed
from headstart.training.options.strategy import set_train_mode
from headstart.training.randomness import seed_step

PLAIN = Slot((3, 2), "float32", (0, 1))
MAP = Slot((4, 3, 2), "float32", (1, 2, 0))
HALF = Slot((5,), "bfloat16", (0,))
TOKENS = Slot((None, 3), "float32", (0, 1))
LAYOUT = Layout((PLAIN, MAP, HALF), 11)
LENGTHS = np.array([3, 1, 5, 2, 4])
RAGGED = Layout((TOKENS, HALF), 5, LENGTHS)


def make_tensors(layout, num, length=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = []
    for slot in layout.slots:
        shape = [length if size is None else size for size in slot.shape]
        values = torch.randn(num, *shape, generator=generator).to(getattr(torch, slot.dtype))
        made.append(in_order(values, slot.order))
    return made


def in_batches(layout, tensors, size=4, order=None):
    places = np.arange(layout.num_samples) if order is None else order
    for start in range(0, len(places), size):
        part = places[start : start + size]
        yield part, [tensor[part] for tensor in tensors]


@pytest.fixture
def cache(tmp_path):
    return ActivationCache(tmp_path / "cache", limit_bytes=10**7)


# Rows -------------------------------------------------------------------------------------------


def test_rows_come_back_bit_for_bit_with_their_strides(cache):
    tensors = make_tensors(LAYOUT, 11)
    cache.fill("k", LAYOUT, in_batches(LAYOUT, tensors), about="a test")
    store = cache.open("k", LAYOUT)
    places = np.array([7, 0, 7, 10, 3])
    for slot, kept, whole in zip(LAYOUT.slots, store.tensors(places), tensors, strict=True):
        assert torch.equal(kept, whole[places])
        assert memory_order(kept) == slot.order
        kept.add_(1)  # a batch may be worked on in place
    assert torch.equal(store.tensors(places)[0], tensors[0][places])
    assert [row.dtype.name for row in store.rows(places)] == ["float32", "float32", "uint16"]


def test_samples_may_be_written_in_any_order(cache):
    tensors = make_tensors(LAYOUT, 11)
    order = np.random.default_rng(0).permutation(11)
    store = cache.fill("k", LAYOUT, in_batches(LAYOUT, tensors, order=order), about="a test")
    assert torch.equal(store.tensors(np.arange(11))[1], tensors[1])


def test_one_slot_alone_takes_no_more_than_its_bytes(cache):
    layout = Layout((HALF,), 11)
    tensors = make_tensors(layout, 11)
    store = cache.fill("k", layout, in_batches(layout, tensors), about="a test")
    assert (store.folder / "rows").stat().st_size == 11 * 5 * 2
    assert torch.equal(store.tensors(np.array([4, 2]))[0], tensors[0][[4, 2]])


def test_texts_are_kept_without_padding_and_come_back_padded_to_the_longest(cache):
    tensors = make_tensors(RAGGED, 5, length=5)
    store = cache.fill("k", RAGGED, in_batches(RAGGED, tensors, size=5), about="a test")
    assert (store.folder / "tokens").stat().st_size == LENGTHS.sum() * 3 * 4
    states, pooled = store.tensors(np.array([3, 0]))
    assert states.shape == (2, 3, 3)
    assert torch.equal(states[0, :2], tensors[0][3, :2])
    assert torch.equal(states[1], tensors[0][0, :3])
    assert not states[0, 2:].any()
    assert torch.equal(pooled, tensors[1][[3, 0]])
    assert store.rows(np.array([1]), length=6)[0].shape == (1, 6, 3)


def test_channels_last_maps_and_slices_keep_or_lose_their_order():
    images = torch.rand(2, 4, 3, 5).to(memory_format=torch.channels_last)
    assert memory_order(images) == (1, 2, 0)
    assert memory_order(images.contiguous()) == (0, 1, 2)
    assert memory_order(torch.rand(2, 4, 6).transpose(1, 2)) == (1, 0)
    assert memory_order(torch.rand(2, 7, 6)[:, 0]) == (0,)
    assert memory_order(torch.rand(2, 7, 6)[:, :, ::2]) == (0, 1)


# Entries ----------------------------------------------------------------------------------------


def test_a_missing_sample_is_an_error_and_leaves_nothing(cache):
    tensors = make_tensors(LAYOUT, 11)
    batches = list(in_batches(LAYOUT, tensors))[:-1]
    with pytest.raises(DataError, match=r"3 of 11 samples .* the first is number 8"):
        cache.fill("k", LAYOUT, batches, about="a test")
    assert cache.open("k", LAYOUT) is None
    assert list((cache.root / "activations").iterdir()) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "entry", "gone"])
def test_damage_is_found_and_the_entry_written_again(cache, damage):
    tensors = make_tensors(LAYOUT, 11)
    folder = cache.fill("k", LAYOUT, in_batches(LAYOUT, tensors), about="a test").folder
    rows = folder / "rows"
    if damage == "flip":
        data = bytearray(rows.read_bytes())
        data[100] ^= 1
        rows.write_bytes(data)
    elif damage == "cut":
        os.truncate(rows, rows.stat().st_size - 1)
    elif damage == "entry":
        (folder / "entry.json").write_text('{"layout": [')
    else:
        rows.unlink()
    assert cache.open("k", LAYOUT) is None
    again = cache.fill("k", LAYOUT, in_batches(LAYOUT, tensors), about="a test")
    assert torch.equal(again.tensors(np.arange(11))[0], tensors[0])
    assert [path.name for path in (cache.root / "activations").iterdir()] == ["k"]


@pytest.mark.parametrize(
    "other",
    [
        replace(LAYOUT, num_samples=10),
        replace(LAYOUT, slots=(PLAIN, HALF, MAP)),
        replace(LAYOUT, lengths=np.arange(11)),
    ],
)
def test_an_entry_of_another_layout_is_not_opened(cache, other):
    cache.fill("k", LAYOUT, in_batches(LAYOUT, make_tensors(LAYOUT, 11)), about="a test")
    assert cache.open("k", other) is None


def test_key_depends_on_every_part_and_on_nothing_else():
    parts = {"prefix": "a", "cut": "b", "spec": {"size": 32, "mean": [0.5]}, "data": "c", "view": 0}
    assert activation_key(parts) == activation_key(dict(reversed(parts.items())))
    changes = [{"prefix": "x"}, {"cut": "x"}, {"spec": {"size": 33, "mean": [0.5]}}, {"view": 1}]
    keys = {activation_key(parts | change) for change in [*changes, {"data": "x"}, {"dtype": 1}]}
    assert len(keys | {activation_key(parts)}) == 7


WRITER = """
import sys, time, numpy as np
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_activations import LAYOUT, in_batches, make_tensors
from headstart.training.frozen.activations import ActivationCache
cache = ActivationCache(Path({root!r}), limit_bytes=10**7)
def slowly():
    for batch in in_batches(LAYOUT, make_tensors(LAYOUT, 11), size=1):
        Path({root!r}, "ready-" + sys.argv[1]).touch()
        while not all(Path({root!r}, f"ready-{{i}}").exists() for i in (0, 1)):
            time.sleep(0.001)
        yield batch
store = cache.fill("k", LAYOUT, slowly(), about="a test")
print(float(store.tensors(np.arange(11))[0].sum()))
"""


def test_two_processes_may_write_the_same_entry_at_once(cache, tmp_path):
    cache.root.mkdir()
    text = WRITER.format(tests=os.path.dirname(__file__), root=str(cache.root))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", text, str(i)], stdout=subprocess.PIPE, text=True, env=env
        )
        for i in (0, 1)
    ]
    said = [writer.communicate(timeout=250)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    expected = float(make_tensors(LAYOUT, 11)[0].sum())
    assert [float(text) for text in said] == [expected, expected]
    assert [path.name for path in (cache.root / "activations").iterdir()] == ["k"]


def test_a_full_disk_is_said_with_its_numbers(cache, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(DataError, match=r"need 2,816 bytes .* where 100 are free"):
        cache.fill("k", LAYOUT, in_batches(LAYOUT, make_tensors(LAYOUT, 11)), about="a test")


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    cache = ActivationCache(tmp_path / "file", limit_bytes=10**7)
    with pytest.raises(DataError, match="cannot be written"):
        cache.fill("k", LAYOUT, in_batches(LAYOUT, make_tensors(LAYOUT, 11)), about="a test")


# The cache as a whole ---------------------------------------------------------------------------


def make_entry(root, kind, name, size, used):
    folder = root / kind / name
    folder.mkdir(parents=True)
    (folder / "rows").write_bytes(b"x" * size)
    (folder / "entry.json").write_text(json.dumps({"about": f"{kind} {name}"}))
    os.utime(folder / "entry.json", (used, used))
    return folder


def test_what_was_used_longest_ago_goes_first(tmp_path, heard):
    made = {
        name: make_entry(tmp_path, kind, name, 1000, used)
        for kind, name, used in [("pixels", "a", 30), ("activations", "b", 10), ("pixels", "c", 20)]
    }
    entries = list_cache(tmp_path)
    assert [(e.kind, e.path.name, e.about) for e in entries] == [
        ("pixels", "a", "pixels a"),
        ("pixels", "c", "pixels c"),
        ("activations", "b", "activations b"),
    ]
    held = sum(entry.num_bytes for entry in entries)
    assert make_room(tmp_path, 500, held) > 1000
    assert sorted(entry.path.name for entry in list_cache(tmp_path)) == ["a", "c"]
    make_room(tmp_path, 1500, held, keep={made["c"]})
    assert [entry.path.name for entry in list_cache(tmp_path)] == ["c"]
    with pytest.raises(DataError, match="may hold 1,000 bytes") as told:
        make_room(tmp_path, 500, 1000, keep={made["c"]})
    make_room(tmp_path, 500, 10_000, keep={made["c"]})  # as advised: a higher limit, or elsewhere
    make_room(tmp_path / "elsewhere", 500, 1000)
    heard(told.value)


def test_opening_an_entry_counts_as_using_it(cache):
    layout = Layout((PLAIN,), 11)
    tensors = make_tensors(layout, 11)
    for name in ("old", "new"):
        folder = cache.fill(name, layout, in_batches(layout, tensors), about=name).folder
        os.utime(folder / "entry.json", (10, 10) if name == "old" else (20, 20))
    other = ActivationCache(cache.root, limit_bytes=10**7)
    before = time.time() - 5
    assert other.open("old", layout) is not None
    assert [entry.about for entry in list_cache(cache.root)] == ["old", "new"]
    assert list_cache(cache.root)[0].last_used > before
    other.limit_bytes = sum(entry.num_bytes for entry in list_cache(cache.root)) + 10
    other.fill("third", layout, in_batches(layout, tensors), about="third")
    assert {entry.about for entry in list_cache(cache.root)} == {"old", "third"}


def test_entries_of_this_run_are_never_removed_for_room(cache):
    layout = Layout((PLAIN,), 11)
    tensors = make_tensors(layout, 11)
    first = cache.fill("a", layout, in_batches(layout, tensors), about="a")
    cache.limit_bytes = list_cache(cache.root)[0].num_bytes + 200
    with pytest.raises(DataError, match="HEADSTART_CACHE_LIMIT"):
        cache.fill("b", layout, in_batches(layout, tensors), about="b")
    assert torch.equal(first.tensors(np.arange(11))[0], tensors[0])


def test_clearing_frees_what_it_says_and_leaves_other_kinds_if_asked(tmp_path):
    make_entry(tmp_path, "pixels", "a", 1000, 1)
    make_entry(tmp_path, "activations", "b", 1000, 1)
    stale = make_entry(tmp_path, "activations", "c.tmp-1", 500, 1)
    os.utime(stale, (1, 1))
    young = make_entry(tmp_path, "activations", "d.tmp-2", 500, time.time())
    freed = clear_cache(tmp_path, kind="activations")
    assert 1500 < freed < 1700
    assert [entry.path.name for entry in list_cache(tmp_path)] == ["a"]
    assert young.exists()  # another process is writing it
    assert not stale.exists()
    clear_cache(tmp_path)
    assert list_cache(tmp_path) == []


def test_a_mapped_entry_survives_its_removal(cache):
    tensors = make_tensors(LAYOUT, 11)
    store = cache.fill("k", LAYOUT, in_batches(LAYOUT, tensors), about="a test")
    clear_cache(cache.root)
    assert torch.equal(store.tensors(np.arange(11))[0], tensors[0])


@pytest.mark.parametrize(
    ("said", "expected"), [("5000", 5000), ("2GB", 2 * 10**9), (" 1.5 mb ", 1_500_000)]
)
def test_the_limit_is_what_the_variable_says(monkeypatch, tmp_path, said, expected):
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", said)
    assert cache_limit(tmp_path) == expected


def test_a_limit_that_is_no_size_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "plenty")
    with pytest.raises(OptionError, match="is 'plenty'; expected a number of bytes"):
        cache_limit(tmp_path)


def test_without_a_variable_half_of_the_disk_is_the_limit(monkeypatch, tmp_path):
    monkeypatch.delenv("HEADSTART_CACHE_LIMIT", raising=False)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("U", (), {"free": 9000}))
    make_entry(tmp_path, "pixels", "a", 1000, 1)
    held = list_cache(tmp_path)[0].num_bytes
    assert cache_limit(tmp_path / "nowhere") == 4500
    assert cache_limit(tmp_path) == (9000 + held) // 2


# Training from the store ------------------------------------------------------------------------


class Net(nn.Module):
    """Frozen convolutions, then everything that has a state or draws."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(8, 3)

    def forward(self, images):
        states = self.stem(images)
        return self.head(self.drop((states + self.block(states)).mean((2, 3))))


def test_thirty_steps_from_the_store_equal_thirty_steps_on_the_same_views(cache):
    num_views, num_steps, batch = 3, 30, 8
    pixels = np.random.default_rng(0).integers(0, 256, (28, 1, 12, 12), dtype=np.uint8)
    ids = np.arange(100, 128)
    targets = np.arange(28) % 3
    seed = views_seed("the data's fingerprint")

    def show(places, view):
        images = torch.from_numpy(pixels[places]).to(torch.float32) / 255
        images = images.to(memory_format=torch.channels_last)
        return augment(images, ids[places], POLICIES["light"], seed=seed, epoch=view)

    torch.manual_seed(0)
    online = Net().to(memory_format=torch.channels_last)
    online.stem.requires_grad_(False)
    cached = copy.deepcopy(online)
    cut = cut_network(cached, (show(np.arange(4), 0),))
    layout = Layout(cut.kept, 28)
    assert layout.row_bytes == 8 * 6 * 6 * 4
    stores = []
    for view in range(num_views):
        places = np.array_split(np.arange(28), 3)  # other batches than those of the training
        batches = ((part, cut.compute(show(part, view))) for part in places)
        key = activation_key({"prefix": cut.fingerprint, "view": view})
        stores.append(cache.fill(key, layout, batches, about=f"view {view}"))

    def look_up(places, views):
        kept = torch.empty(len(places), 8, 6, 6).to(memory_format=torch.channels_last)
        for view in np.unique(views):
            kept[views == view] = stores[view].tensors(places[views == view])[0]
        return cut.suffix(kept)

    def compute(places, views):
        images = torch.cat([show(places[i : i + 1], int(v)) for i, v in enumerate(views)])
        return online(images.to(memory_format=torch.channels_last))

    losses = {}
    for network, run in ((online, compute), (cached, look_up)):
        learning = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=0.01)
        order = Order(targets, batch_size=batch, imbalance="none", seed=1)
        set_train_mode(network)
        losses[network] = []
        for step in range(num_steps):
            places = order.indices(step)
            views = views_at(order.epoch(step), ids[places], num_views, seed=1)
            seed_step(1, step)
            loss = functional.cross_entropy(run(places, views), torch.from_numpy(targets[places]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[network].append(float(loss.detach()))
    assert losses[online] == losses[cached]
    assert len(set(losses[online])) == num_steps
    for name, tensor in online.state_dict().items():
        assert torch.equal(tensor, cached.state_dict()[name]), name
