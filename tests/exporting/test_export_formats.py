"""Exports that every run can become: programs of torch.export, plain weights, whole numbers."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from advised import Case
from onnx import TensorProto, helper
from safetensors.torch import load_file
from small_runs import TEXTS, table, table_run, text_run
from torch import nn

import headstart as hs
from headstart.bundles import check_files, compare_logits
from headstart.bundles.session import OnnxSession
from headstart.errors import ExportError, OptionError
from headstart.exporting.int8_choice import Int8Trial
from headstart.exporting.onnx_int8 import WAYS
from headstart.exporting.onnx_network import ExportedNetwork
from headstart.exporting.pt2_folder import _program
from headstart.preprocessing import NamedInput
from headstart.recipes.bundling import _judges
from headstart.starts.texts.configs import clean_config
from headstart.starts.texts.networks import build_transformers

RNG = np.random.default_rng(0)
PARTS = {"README.md", "MANIFEST.json"}


def rows() -> list[dict[str, object]]:
    return table().drop(columns="label").to_dict("records")


def program_logits(folder: Path, run: hs.Run, samples: list, *, number: int) -> np.ndarray:
    """Return what a program gives for the first samples, as somebody without headstart asks."""
    network = torch.export.load(folder / "model.pt2").module()
    arrays = run.preprocess.read(samples[:number]).arrays(np.arange(number))
    arrays = [one for one in arrays if 0 not in one.shape]
    return network(*map(torch.from_numpy, arrays)).detach().numpy()


def same_logits(folder: Path, run: hs.Run, samples: list) -> None:
    inputs = run.preprocess.read(samples)
    expected = np.asarray(run.ensemble.run_each([inputs], phase="test")[0])
    for number in (1, 5):
        found = program_logits(folder, run, samples, number=number)
        assert compare_logits(found, expected[:number]).holds


def test_a_program_gives_the_logits_at_any_batch_and_holds_no_samples(mlp_bundle, tmp_path):
    run = mlp_bundle[0]
    folder = hs.export(str(run.path), to="pt2", out=str(tmp_path / "program"))
    files = {path.name for path in folder.iterdir()}
    assert files == {"model.pt2", "bundle.json", "golden.npz", *PARTS}
    check_files(folder)
    same_logits(folder, run, rows())
    card = (folder / "README.md").read_text()
    assert "torch.export.load" in card
    assert json.loads((folder / "bundle.json").read_text())["parity"]["batches"][0] == 1
    with zipfile.ZipFile(folder / "model.pt2") as archive:
        samples = [name for name in archive.namelist() if "sample_inputs" in name]
        assert all(archive.getinfo(name).file_size < 2_000 for name in samples)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["scratch/boosting", "scratch/linear", "scratch/forest"])
def test_tables_become_programs(tmp_path, start):
    run = table_run(tmp_path, start)
    same_logits(hs.export(str(run.path), to="pt2"), run, rows())


def program_of_texts(kind: str, longest: int) -> tuple[ExportedNetwork, nn.Module]:
    """Return a tiny encoder of a kind with a head, and its program, shown four tokens."""
    config = {"model_type": kind, "vocab_size": 90, "hidden_size": 16, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40}
    if kind == "modernbert":
        config |= {"pad_token_id": 0}  # its own is beyond so small a vocabulary
    if kind == "mobilebert":
        config |= {"embedding_size": 8, "true_hidden_size": 8, "intra_bottleneck_size": 8}
    torch.manual_seed(0)
    encoder = build_transformers(clean_config(config, kind), "native")
    head = nn.Linear(encoder.num_features, 2)

    class Whole(ExportedNetwork):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.encoder, self.head = encoder, head
            sizes = {"input_ids": 90, "attention_mask": 2}
            self._inputs = [
                NamedInput(name, "int64", ("length",), (size,), longest)
                for name, size in sizes.items()
            ]

        def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
            return self.head(self.encoder(*arrays))

    network = Whole().eval().requires_grad_(False)
    ids = RNG.integers(5, 90, (3, 4))
    content = _program(network, [ids, np.ones_like(ids)], kind)[1]
    return network, torch.export.load(io.BytesIO(content)).module()


@pytest.mark.parametrize(
    ("kind", "longest", "lengths"),
    [
        # the longest text has a word: the example is longer than any
        ("bert", 3, (1, 2, 3)),
        # each token is read with its neighbours, which no exporter believes of two
        pytest.param("mobilebert", 40, (3, 4, 40), marks=pytest.mark.slow),
        pytest.param("deberta-v2", 40, (1, 2, 40), marks=pytest.mark.slow),
        pytest.param("modernbert", 40, (1, 2, 40), marks=pytest.mark.slow),
    ],
)
def test_texts_of_any_length_are_taken_by_a_program(kind, longest, lengths):
    network, program = program_of_texts(kind, longest)
    for batch, length in ((one, other) for one in (1, 5) for other in lengths):
        ids = torch.from_numpy(RNG.integers(5, 90, (batch, length)))
        mask = torch.ones_like(ids)
        mask[: batch // 2, length // 2 + 1 :] = 0
        difference = (program(ids, mask) - network(ids, mask)).abs().max()
        assert difference < 1e-5


@pytest.mark.slow
def test_texts_and_pictures_become_programs(tmp_path, image_bundle):
    run = text_run(tmp_path, "scratch/bert-tiny")
    same_logits(hs.export(str(run.path), to="pt2"), run, [*TEXTS[:6], "buzz " * 300])
    picture = image_bundle[0]
    samples = [str(path) for path in sorted(picture.path.parent.rglob("[0-9]*.png"))[:6]]
    folder = hs.export(str(picture.path), to="pt2", out=str(tmp_path / "program"))
    same_logits(folder, picture, samples)


def test_weights_are_plain_and_predict_the_same(mlp_bundle, tmp_path):
    run = mlp_bundle[0]
    folder = hs.export(str(run.path), to="safetensors", out=str(tmp_path / "weights"))
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.safetensors", *PARTS}
    check_files(folder)
    state = {**run.model.state_dict()}
    found = load_file(folder / "model.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name].cpu()) for name in found)
    again = hs.open(folder).predict(rows())
    assert [one.probabilities for one in again] == [
        one.probabilities for one in run.predict(rows())
    ]
    table().drop(columns="label").to_csv(tmp_path / "new.csv", index=False)
    told = hs.predict(str(folder), [str(tmp_path / "new.csv")])
    assert [one.label for one in told] == [one.label for one in again]
    assert str(run.path.parents[2]) not in "".join(
        path.read_text() for path in folder.iterdir() if path.suffix in (".json", ".md")
    )


@pytest.mark.slow
def test_adapters_are_merged_into_weights(tmp_path):
    import pandas as pd

    labels = [("ant", "bee")[i % 2] for i in range(len(TEXTS))]
    pd.DataFrame({"text": TEXTS, "label": labels}).to_csv(tmp_path / "texts.csv", index=False)
    run = hs.finetune(
        hs.load(str(tmp_path / "texts.csv"), label="label"),
        start="scratch/bert-tiny",
        strategy="lora",
        out=str(tmp_path / "run"),
        num_steps=4,
    )
    folder = hs.export(str(run.path), to="safetensors")
    assert not [name for name in load_file(folder / "model.safetensors") if "lora" in name]
    found = hs.open(folder).predict(TEXTS[:9])
    for one, other in zip(found, run.predict(TEXTS[:9]), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


# Whole numbers -----------------------------------------------------------------------------------


def network(nodes: list, weights: dict[str, np.ndarray], shape: list, width: int) -> bytes:
    """Return a network of ONNX with one input, ``x``."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", width])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def convolutions() -> bytes:
    draw = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"], pads=[1, 1, 1, 1], group=8),  # depthwise
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["logits"]),
    ]
    # of a depthwise convolution one channel's weights are a hundred times another's
    scales = np.geomspace(0.05, 5, 8, dtype=np.float32).reshape(8, 1, 1, 1)
    weights = {
        "w": draw.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "v": draw.normal(0.2, 0.3, (8, 1, 3, 3)).astype(np.float32) * scales,
    }
    return network(nodes, weights, [3, 16, 16], 8)


def products() -> bytes:
    draw = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "v"], ["logits"]),
    ]
    weights = {
        "w": draw.normal(0, 0.2, (64, 96)).astype(np.float32),
        "v": draw.normal(0, 0.2, (96, 8)).astype(np.float32),
    }
    return network(nodes, weights, [64], 8)


@pytest.mark.parametrize(
    ("way", "content", "shape"),
    [
        ("calibrated convolutions", convolutions(), (3, 16, 16)),
        ("products by rows", products(), (64,)),
    ],
)
def test_whole_numbers_are_near_and_no_sample_changes_another(way, content, shape, tmp_path):
    x = RNG.normal(0, 1, (40, *shape)).astype(np.float32)
    made = WAYS[way](content, [{"x": x[:20]}, {"x": x[20:]}])
    assert made is not None
    sessions = []
    for name, one in (("plain", content), ("int8", made)):
        (tmp_path / name).write_bytes(one)
        sessions.append(OnnxSession(tmp_path / name, [NamedInput("x", "float32", shape)], 8))
    plain, narrow = (one.run({"x": x}) for one in sessions)
    assert 0 < np.abs(narrow - plain).max() < 0.05 * np.abs(plain).max()
    # a mate in the batch that is a thousand times as large changes nothing
    mates = np.concatenate([x[:3], 1000 * x[3:6]])
    assert np.abs(sessions[1].run({"x": mates})[:3] - narrow[:3]).max() < 1e-5
    assert np.abs(sessions[1].run({"x": x[:1]}) - narrow[:1]).max() < 1e-5
    # what it is not for, it leaves
    other = products() if way == "calibrated convolutions" else convolutions()
    assert WAYS[way](other, [{"x": x}]) is None


@pytest.mark.parametrize(
    ("right", "times", "beside", "is_kept"),
    [
        (0.900, (0.5, 0.9), "", True),
        (0.895, (0.5, 0.9), "", True),
        (0.894, (0.5, 0.9), "", False),  # more than half a point
        (0.950, (0.5, 0.96), "", False),  # no quicker at one of the batches
        (0.950, (0.5, 0.5), "depends", False),
    ],
)
def test_whole_numbers_are_kept_where_they_are_quicker_and_as_good(right, times, beside, is_kept):
    assert Int8Trial("a way", right, 0.9, times, beside).is_kept is is_kept


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    return table_run(tmp_path_factory.mktemp("linear"), "scratch/linear")


def whole_numbers(run: hs.Run, out: Path) -> Path:
    return hs.export(str(run.path), to="onnx", int8=True, out=str(out / "a"))


def without_data(run: hs.Run, out: Path) -> Path:
    data = run.path.parent / "rows.csv"
    data.rename(data.with_suffix(".away"))
    try:
        return whole_numbers(run, out)
    finally:
        data.with_suffix(".away").rename(data)


class Unwilling(ExportedNetwork):
    """A network that no exporter follows: it looks at what it computes."""

    def forward(self, *arrays):
        logits = super().forward(*arrays)
        return logits if float(logits.sum()) > 0 else -logits


def program_of(run: hs.Run, kind: type[ExportedNetwork]) -> bytes:
    arrays = run.preprocess.read(rows()[:3]).arrays(np.arange(3))
    return _program(kind(run.model.eval()), arrays, "scratch/linear")[1]


def test_whole_numbers_that_are_no_gain_are_refused_with_the_reason(linear, follow):
    follow(
        Case(
            lambda out: whole_numbers(linear, out),
            r"no gain .* val samples .* Leave --int8 out",
            lambda out: hs.export(str(linear.path), to="onnx", out=str(out / "a")),
            ExportError,
        )
    )


def test_whole_numbers_are_for_one_model_that_tells_classes(tmp_path, follow):
    run = table_run(tmp_path, "scratch/linear", is_numeric=True)
    follow(
        Case(
            lambda out: whole_numbers(run, out),
            r"one model that tells classes of whole samples, and it tells numbers\. Leave --int8",
            lambda out: hs.export(str(run.path), to="onnx", out=str(out / "a")),
            ExportError,
        )
    )


def test_whole_numbers_are_for_bundles(linear, follow):
    def export(out: Path, **options: object) -> Path:
        return hs.export(str(linear.path), to="safetensors", out=str(out / "a"), **options)

    follow(
        Case(
            lambda out: export(out, int8=True),
            r"int8 is for bundles.* Say --to onnx, or leave --int8 out",
            export,
            OptionError,
        )
    )


def test_whole_numbers_are_judged_by_the_data_of_the_run(linear, follow):
    follow(
        Case(
            lambda out: without_data(linear, out),
            r"--int8 needs the val samples .* bring the data back",
            lambda out: len(_judges(linear).judged) > 0,
            ExportError,
        )
    )


def test_a_network_that_no_exporter_follows_is_refused(linear, follow):
    follow(
        Case(
            lambda _: program_of(linear, Unwilling),
            r"cannot be written as a program .* choose another start",
            lambda _: program_of(linear, ExportedNetwork),
            ExportError,
        )
    )
