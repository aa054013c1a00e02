"""Text exports: what transformers loads gives the model's logits; what cannot be is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import ExportError
from headstart.events import listen
from headstart.exporting import export_transformers
from headstart.exporting import transformers_folder as folder_module
from headstart.model import Model
from headstart.preprocessing import TokenPreprocess
from headstart.preprocessing.tokens import TextTokenizer
from headstart.preprocessing.vocabulary import train_tokenizer
from headstart.starts import (
    BuildRequest,
    Encoder,
    add_lora,
    build_encoder,
    find_start,
)
from headstart.starts.architecture import write_architecture
from headstart.starts.texts.catalog import MINILM_IMPORT
from headstart.starts.texts.configs import clean_config
from headstart.starts.texts.networks import TextNetwork, build_transformers
from headstart.types import Schema

transformers = pytest.importorskip("transformers")

TEXTS = ["a warm and funny film", "a cold and dull film", "dull , dull , dull", ""] * 5
KINDS: dict[str, dict[str, object]] = {
    "bert": {},
    "roberta": {},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c"], "position_buckets": 8},
    "modernbert": {},
    "electra": {"embedding_size": 16},
}
SCHEMAS = {
    "classification": Schema("text", "classification", ("good", "bad", "neither")),
    "multi-label": Schema("text", "multi-label", ("warm", "dull")),
    "regression": Schema("text", "regression", (), "stars"),
}


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return train_tokenizer(TEXTS, "x", vocab_size=100).with_max_length(24)


def build(kind: str, tokenizer: TextTokenizer, task: str = "classification") -> Model:
    record = {
        "model_type": kind, "vocab_size": tokenizer.vocab_size, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": 40, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3,
        **KINDS[kind],
    }  # fmt: skip
    options = {"config": clean_config(record, kind), "pooling": "native"}
    start, preprocess = find_start("somebody/tiny"), TokenPreprocess(tokenizer)
    torch.manual_seed(1)
    network = build_transformers(**options)  # type: ignore[arg-type]
    assert isinstance(network, TextNetwork)
    encoder = Encoder(
        network, start=start, preprocess=preprocess, num_features=32,
        architecture=write_architecture("transformers", options, start, preprocess.to_json()),
    )  # fmt: skip
    model = Model(encoder, SCHEMAS[task])
    with torch.no_grad():
        model.head.weight.normal_()
    return model


def logits_of(model: Model, text: str) -> torch.Tensor:
    (ids,), _ = model.encoder.preprocess.tokenizer.encode([text])
    tokens = torch.from_numpy(ids).long()[None]
    with torch.no_grad():
        return model.eval()(tokens, torch.ones_like(tokens))


def theirs(folder: Path, text: str) -> torch.Tensor:
    reader = transformers.AutoTokenizer.from_pretrained(str(folder))
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(str(folder))
    with torch.no_grad():
        return loaded.eval()(**reader(text, truncation=True, return_tensors="pt")).logits


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_loads_the_same_logits(kind: str, tokenizer, tmp_path: Path):
    model = build(kind, tokenizer)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folder = export_transformers(model, tmp_path / "out")
    for text in (*TEXTS[:4], "film " * 90):
        torch.testing.assert_close(theirs(folder, text), logits_of(model, text), atol=1e-5, rtol=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "good", "1": "bad", "2": "neither"}
    assert config["problem_type"] == "single_label_classification"
    assert not any(file.suffix in (".bin", ".pt") for file in folder.iterdir())


def test_pipeline_says_the_classes_and_their_probabilities(tokenizer, tmp_path: Path):
    model = build("bert", tokenizer)
    model.temperature = 1.5
    folder = export_transformers(model, tmp_path / "out", texts=TEXTS)
    pipeline = transformers.pipeline("text-classification", model=str(folder))
    text = "a warm film"
    found = {row["label"]: row["score"] for row in pipeline(text, top_k=None)}
    expected = torch.softmax(logits_of(model, text), 1)[0].tolist()
    names = model.schema.classes
    assert found == pytest.approx(dict(zip(names, expected, strict=True)), abs=1e-5)
    assert pipeline("film " * 90, truncation=True)[0]["label"] in names
    assert json.loads((folder / "config.json").read_text())["headstart"] == {
        "temperature": 1.5,
        "max_length": 24,
    }


def test_multi_label_gives_one_probability_a_class(tokenizer, tmp_path: Path):
    model = build("bert", tokenizer, "multi-label")
    folder = export_transformers(model, tmp_path / "out")
    pipeline = transformers.pipeline("text-classification", model=str(folder))
    found = {row["label"]: row["score"] for row in pipeline("a film", top_k=None)}
    expected = torch.sigmoid(logits_of(model, "a film"))[0].tolist()
    assert found == pytest.approx(dict(zip(("warm", "dull"), expected, strict=True)), abs=1e-5)


def test_regression_gives_values_in_the_units_of_the_target(tokenizer, tmp_path: Path):
    model = build("bert", tokenizer, "regression")
    model.target_mean, model.target_scale = 70.0, 12.0
    folder = export_transformers(model, tmp_path / "out")
    pipeline = transformers.pipeline("text-classification", model=str(folder))
    (row,) = pipeline("a film")
    value = logits_of(model, "a film").item() * 12.0 + 70.0
    assert row["label"] == "stars"
    assert row["score"] == pytest.approx(value, rel=1e-6)


def test_adapters_are_merged_on_a_copy(tokenizer, tmp_path: Path):
    pytest.importorskip("peft")
    model = build("roberta", tokenizer)
    add_lora(model.encoder, rank=4)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            nn.init.normal_(parameter, std=0.1)
    names = list(model.state_dict())
    folder = export_transformers(model, tmp_path / "out")
    assert list(model.state_dict()) == names
    assert model.encoder.architecture["lora"] is not None
    expected = logits_of(model, TEXTS[0])
    torch.testing.assert_close(theirs(folder, TEXTS[0]), expected, atol=1e-5, rtol=0)


def test_export_is_a_start_again(tokenizer, tmp_path: Path):
    model = build("bert", tokenizer)
    folder = export_transformers(model, tmp_path / "out")
    encoder = build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS))
    tokens = torch.tensor([[2, 9, 10, 3]])
    with torch.no_grad():
        found = encoder.eval()(tokens, torch.ones_like(tokens))
        expected = model.encoder.eval()(tokens, torch.ones_like(tokens))
    assert torch.equal(found, expected)


def test_packaged_minilm_is_exported(tmp_path: Path):
    pytest.importorskip(MINILM_IMPORT)
    encoder = build_encoder(
        find_start("pip/all-minilm-l6-v2"), BuildRequest(texts=TEXTS, max_length=32)
    )
    model = Model(encoder, SCHEMAS["classification"])
    folder = export_transformers(model, tmp_path / "out")
    text = "The prices in Zürich are high, 这家酒店很好"
    torch.testing.assert_close(theirs(folder, text), logits_of(model, text), atol=1e-5, rtol=0)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_readme_of_an_averaged_encoder_has_the_lines_that_give_its_logits(
    task: str, tmp_path: Path
):
    request = BuildRequest(texts=TEXTS, pooling="mean", max_length=24)
    model = Model(build_encoder(find_start("scratch/bert-tiny"), request), SCHEMAS[task])
    with torch.no_grad():
        model.head.weight.normal_()
    if task == "regression":
        model.target_mean, model.target_scale = 3.0, 2.0
    notes: list[object] = []
    with listen(lambda kind, fields: notes.append(fields.get("text"))):
        folder = export_transformers(model, tmp_path / "out")
    assert any("README.md has the lines" in str(note) for note in notes)
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    said: dict[str, object] = {"FOLDER": str(folder)}
    exec(code, said)
    texts = [*TEXTS[:3], "film " * 90]
    expected = torch.cat([logits_of(model, text) for text in texts])
    expected = expected * model.target_scale + model.target_mean
    found = said["logits_of"](texts)  # type: ignore[operator]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    config = json.loads((folder / "config.json").read_text())
    assert [*config["id2label"].values()] == [*(SCHEMAS[task].classes or ("stars",))]


# Refusals ---------------------------------------------------------------------------------------


def test_what_transformers_has_no_class_for_is_refused(tmp_path: Path):
    schema = SCHEMAS["classification"]
    tfidf = Model(build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=TEXTS)), schema)
    with pytest.raises(ExportError, match=r"TF-IDF with a linear layer.*headstart"):
        export_transformers(tfidf, tmp_path / "out")
    image = build_encoder(
        find_start("scratch/simple-cnn"), BuildRequest(image_size=(28, 28), image_channels=1)
    )
    with pytest.raises(ExportError, match=r"reads image. Expected a text model"):
        export_transformers(Model(image, Schema("image", "classification", ("a", "b"))), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_target_is_refused_and_untouched(tokenizer, tmp_path: Path):
    model = build("bert", tokenizer)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"is not empty \(notes.txt\)"):
        export_transformers(model, tmp_path)
    with pytest.raises(ExportError, match=r"is a file. Expected a folder"):
        export_transformers(model, tmp_path / "notes.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    assert (export_transformers(model, tmp_path / "empty") / "config.json").is_file()


def test_an_unfaithful_export_leaves_nothing_behind(tokenizer, tmp_path: Path, monkeypatch):
    model = build("bert", tokenizer)
    from headstart.exporting import transformers_folder

    def shifted(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
        return model.head.weight.detach(), model.head.bias.detach() + 1e-3

    monkeypatch.setattr(transformers_folder, "_head_in_target_units", shifted)
    with pytest.raises(ExportError, match=r"is not faithful: its logits differ .* by 0.001"):
        export_transformers(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_that_reads_back_otherwise_leaves_nothing_behind(
    tokenizer, tmp_path: Path, monkeypatch
):
    model = build("bert", tokenizer)

    def other(texts: list[str]) -> tuple[list[np.ndarray], np.ndarray]:
        return [np.array([2, 5, 3], dtype=np.int32) for _ in texts], np.full(len(texts), 3)

    monkeypatch.setattr(model.encoder.preprocess.tokenizer, "encode", other)
    with pytest.raises(ExportError, match=r"gives other ids than headstart's for 'A warm"):
        export_transformers(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()


def test_what_is_advised_of_an_export_helps(tokenizer, tmp_path: Path, monkeypatch, heard) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"cannot be written .* Choose another one") as unwritten:
        export_transformers(build("bert", tokenizer), tmp_path / "file" / "out")
    with monkeypatch.context() as patch:  # as a release would whose classes are others
        patch.setattr(folder_module, "make_classifier", lambda config: OtherRelease(config))
        with pytest.raises(ExportError, match="Use the transformers release that the") as other:
            export_transformers(build("bert", tokenizer), tmp_path / "other")
    # by this release, into a new folder
    assert export_transformers(build("bert", tokenizer), tmp_path / "out").is_dir()
    for told in (unwritten, other):
        heard(told.value)


class OtherRelease(nn.Module):
    """A classifier whose parameters have other names."""

    def __init__(self, config) -> None:
        super().__init__()
        self.dense, self.classifier = nn.Linear(2, 2), nn.Linear(2, config.num_labels)
