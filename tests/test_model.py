"""A model saved and opened again computes the same bits, or is refused in a sentence."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from headstart.errors import HeadstartError, RunFolderError
from headstart.model import (
    Model,
    open_model,
    pass_size,
    passes,
    run_batches,
    split_passes,
    write_model,
)
from headstart.preprocessing import Pixels
from headstart.starts import BuildRequest, build_encoder, find_start, wrap_module
from headstart.training.machine.footprint import LiveTensors
from headstart.types import ImageSpec, Schema

SCHEMA = Schema("image", "classification", ("cat", "dog", "newt"))
SPEC = ImageSpec(8, 3, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "bilinear", 8, 3)


def make_model(channels=1, size=8) -> Model:
    start = find_start("scratch/simple-cnn")
    encoder = build_encoder(
        start, BuildRequest(image_size=(size, size), image_channels=channels, seed=0)
    )
    torch.manual_seed(0)
    return Model(encoder, SCHEMA).eval()


def images(channels=1, num=5, size=8):
    shape = (num, size, size, channels)
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


def pixels_of(images):
    nothing = np.zeros(len(images), np.int64)
    return Pixels(images, nothing, nothing, [""] * len(images))


@pytest.fixture
def saved(tmp_path):
    """Return a folder with a saved model, and the logits it gives."""
    model = make_model()
    model.temperature = 1.75
    write_model(
        model, lambda name, content: (tmp_path / name).write_bytes(content), {"strategy": "full"}
    )
    return tmp_path, run_batches(model, pixels_of(images()), model)


def test_opening_gives_bit_equal_logits_and_keeps_the_temperature(saved):
    path, logits = saved
    model, record = open_model(path)
    assert np.array_equal(run_batches(model, pixels_of(images()), model), logits)
    assert model.temperature == 1.75
    assert model.schema == SCHEMA
    assert not model.training
    assert record["strategy"] == "full"
    assert record["versions"].keys() >= {"torch", "timm", "python", "headstart"}


def test_nothing_is_pickled(saved):
    path, _ = saved
    assert sorted(p.name for p in path.iterdir()) == ["model.json", "model.safetensors"]
    json.loads((path / "model.json").read_text())
    tensors = load_file(path / "model.safetensors")
    assert {"head.weight", "head.bias"} <= tensors.keys()


def test_the_head_reads_normalised_pixels_by_hand():
    flat = wrap_module(nn.Flatten(), SPEC)
    model = Model(flat, SCHEMA).eval()
    pixels = images(channels=3)
    by_hand = (pixels / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    features = by_hand.transpose(0, 3, 1, 2).reshape(5, -1)
    weight, bias = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    assert np.allclose(
        run_batches(model, pixels_of(pixels), model), features @ weight.T + bias, atol=1e-5
    )


def test_grey_images_are_repeated_to_three_channels():
    model = Model(wrap_module(nn.Flatten(), SPEC), SCHEMA).eval()
    grey = images(channels=1)
    colour = np.repeat(grey, 3, axis=3)
    assert np.array_equal(
        run_batches(model, pixels_of(grey), model), run_batches(model, pixels_of(colour), model)
    )


def test_images_of_another_size_are_resized_to_the_network():
    model = Model(wrap_module(nn.Flatten(), SPEC), SCHEMA).eval()
    even = np.full((2, 5, 5, 3), 100, np.uint8)
    large = np.full((2, 8, 8, 3), 100, np.uint8)
    found, expected = (
        run_batches(model, pixels_of(even), model),
        run_batches(model, pixels_of(large), model),
    )
    assert np.allclose(found, expected, atol=1e-5)


def test_dropout_works_in_training_only():
    model = Model(make_model().encoder, SCHEMA, dropout=0.5)
    batch = torch.rand(4, 1, 8, 8)
    model.train()
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))


def test_run_batches_restores_the_modes_and_does_not_depend_on_the_batch_size():
    model = make_model().train()
    model.encoder.eval()
    many = run_batches(model, pixels_of(images(num=11)), model, batch_size=3)
    assert np.allclose(many, run_batches(model, pixels_of(images(num=11)), model), atol=1e-6)
    assert model.training
    assert not model.encoder.training


def sizes_of_passes(model, num):
    """Return how many samples each pass has, and what they compute."""
    sizes = []

    def compute(batch):
        sizes.append(len(batch))
        return model(batch)

    return sizes, run_batches(model, pixels_of(images(num=num)), compute)


def test_passes_of_photos_are_bounded_by_bytes_and_compute_the_same(monkeypatch):
    sizes, whole = sizes_of_passes(make_model(), 150)
    assert sizes == [128, 22]
    live = LiveTensors([])
    model = make_model()
    with torch.no_grad(), live:
        model(torch.rand(16, 1, 8, 8))
    monkeypatch.setattr(passes, "_PASS_BYTES", 2 * live.most_bytes)
    sizes, parts = sizes_of_passes(model, 150)
    assert pass_size(model, pixels_of(images())) in (16, 32)
    assert sum(sizes) == 150
    assert len(sizes) >= 5
    assert max(sizes) < 64
    assert np.allclose(parts, whole, atol=1e-6)


def test_a_model_is_measured_once_a_size_and_left_as_it_was(monkeypatch):
    model, measured = make_model().train(), []
    features = model.features
    monkeypatch.setattr(model, "features", lambda *x: measured.append(len(x[0])) or features(*x))
    random = torch.get_rng_state()
    for size in (8, 8, 12):
        pass_size(model, pixels_of(images(size=size)))
    assert measured == [2, 2]
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("num", [1, 15, 16, 17, 24, 25, 29, 31, 47, 128, 129, 157, 300])
@pytest.mark.parametrize("size", [1, 16, 128])
def test_no_pass_is_short_but_where_the_whole_would_be(num, size):
    order = np.random.default_rng(0).permutation(num)
    parts = list(split_passes(order, size))
    assert set(np.concatenate(parts)) == set(order)
    shortest = min(size, num % 128 or 128)
    assert all(shortest <= len(part) <= max(1.5 * size, shortest) for part in parts)
    assert sum(map(len, parts)) <= max(4 / 3 * num, num + 1)


def edit(path, **fields):
    record = json.loads((path / "model.json").read_text())
    record.update(fields)
    (path / "model.json").write_text(json.dumps(record))


def change_tensors(path, change):
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors")


def put_nan(tensors):
    tensors["head.weight"][1, 2] = float("nan")


def reshape_head(tensors):
    tensors["head.weight"] = tensors["head.weight"][:2].contiguous()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda p: (p / "model.json").unlink(), "has no model.json"),
        (lambda p: (p / "model.safetensors").unlink(), "has no model"),
        (lambda p: (p / "model.json").write_text('{"form'), "is damaged"),
        (lambda p: (p / "model.json").write_text("[]"), "is damaged"),
        (lambda p: (p / "model.json").write_bytes(b"\xff\xfe"), "is damaged"),
        (lambda p: (p / "model.safetensors").write_bytes(b"not tensors at all"), "is damaged"),
        (lambda p: (p / "model.safetensors").write_bytes(b""), "is damaged"),
        (lambda p: edit(p, temperature="warm"), "is damaged"),
        (lambda p: edit(p, schema={"classes": ["a"]}), "is damaged"),
        (lambda p: change_tensors(p, lambda t: t.pop("head.bias")), "'head.bias' has shape None"),
        (lambda p: change_tensors(p, put_nan), "not finite in 'head.weight'"),
        (lambda p: change_tensors(p, reshape_head), r"'head.weight' has shape \(2, 128\)"),
    ],
)
def test_a_damaged_model_is_refused_in_a_sentence(saved, damage, sentence):
    path, _ = saved
    damage(path)
    with pytest.raises(RunFolderError, match=sentence):
        open_model(path)


def test_a_cut_weights_file_is_refused_wherever_it_is_cut(saved):
    path, _ = saved
    whole = (path / "model.safetensors").read_bytes()
    for length in (1, 7, 8, 50, len(whole) // 2, len(whole) - 1):
        (path / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(RunFolderError, match="is damaged"):
            open_model(path)


def test_every_field_of_the_record_is_checked(saved):
    """Whatever one field becomes, the model opens or is refused; there is no traceback."""
    path, _ = saved
    record = json.loads((path / "model.json").read_text())
    places = [(key,) for key in record]
    nested = {key: value for key, value in record.items() if isinstance(value, dict)}
    places += [(key, inner) for key, value in nested.items() for inner in value]
    refused = 0
    for place in places:
        for value in (None, 5, "x", [], {}, "missing"):
            changed = json.loads(json.dumps(record))
            inside = changed if len(place) == 1 else changed[place[0]]
            if value == "missing":
                inside.pop(place[-1])
            else:
                inside[place[-1]] = value
            (path / "model.json").write_text(json.dumps(changed))
            try:
                open_model(path)
            except HeadstartError:
                refused += 1
    assert refused > 30


def test_tied_weights_of_an_own_module_are_saved(tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(192, 192, bias=False)
            self.second = nn.Linear(192, 192, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x.flatten(1)))

    model = Model(wrap_module(Tied(), SPEC), SCHEMA).eval()
    write_model(model, lambda name, content: (tmp_path / name).write_bytes(content), {})
    opened, _ = open_model(tmp_path, Tied())
    pixels = images(channels=3)
    assert np.array_equal(
        run_batches(opened, pixels_of(pixels), opened), run_batches(model, pixels_of(pixels), model)
    )


def test_two_models_opened_with_one_module_share_no_weights(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        with torch.no_grad():
            module[1].weight.fill_(1.0 if name == "a" else 2.0)
        model = Model(wrap_module(module, SPEC), SCHEMA)
        write_model(model, lambda file, content, at=folder: (at / file).write_bytes(content), {})
    first, _ = open_model(tmp_path / "a", module)
    second, _ = open_model(tmp_path / "b", module)
    weights = [m.state_dict()["encoder.network.1.weight"][0, 0].item() for m in (first, second)]
    assert weights == [1.0, 2.0]
    with pytest.raises(HeadstartError, match="module"):
        open_model(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(RunFolderError, match=r"has no model\.json"):
        open_model(tmp_path / "a", module)


def test_a_folder_of_an_older_format_says_so(tmp_path):
    model = make_model()
    write_model(model, lambda name, content: (tmp_path / name).write_bytes(content), {})
    record = json.loads((tmp_path / "model.json").read_text())
    record["format"], record["versions"]["headstart"] = 2, "0.0.9"
    (tmp_path / "model.json").write_text(json.dumps(record))
    with pytest.raises(RunFolderError, match=r"older version, headstart 0\.0\.9, in format 2"):
        open_model(tmp_path)


def test_a_head_of_tokens_gives_logits_for_each_token_and_is_rebuilt(tmp_path):
    start = find_start("scratch/vit-tiny")
    encoder = build_encoder(start, BuildRequest(image_size=(8, 8), image_channels=1))
    model = Model(encoder, SCHEMA, head="token").eval()
    images_ = torch.rand(2, 1, 8, 8)
    logits = model(images_)
    assert logits.ndim == 3
    assert logits.shape[0] == 2
    write_model(model, lambda name, content: (tmp_path / name).write_bytes(content), {})
    again, record = open_model(tmp_path)
    assert record["head"] == "token"
    assert torch.equal(again(images_), logits)
