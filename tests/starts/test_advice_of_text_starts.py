"""Advice about starts for texts is followed: another length, pooling, folder, tokenizer or file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from advised import Case, in_extra
from safetensors.torch import save_file
from tiny_text import TEXTS, tiny_record
from torch import nn

from headstart.errors import StartError
from headstart.preprocessing.tokens import read_tokenizer
from headstart.preprocessing.unread import measure
from headstart.preprocessing.vocabulary import load_tokenizer, train_tokenizer
from headstart.starts import BuildRequest, build_encoder, find_start, rebuild_encoder
from headstart.starts.texts import catalog, configs, networks, weights

CONFIG, TOKENIZER = "tokenizer_config.json", "tokenizer.json"


@dataclass(frozen=True)
class Place:
    """A folder of a case, and a saved encoder to copy from."""

    folder: Path
    saved: Path

    def bert(self, file: str = "config.json", **changed: Any) -> Path:
        """Return a copy of the encoder, with entries of a JSON file of it changed."""
        path = self.folder / "bert"
        shutil.copytree(self.saved, path, dirs_exist_ok=True)
        record = json.loads((path / file).read_text())
        (path / file).write_text(json.dumps({**record, **changed}))
        return path

    def without(self, *names: str) -> Path:
        path = self.bert()
        for name in names:
            (path / name).unlink()
        return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("text") / "bert"
    tokenizer = train_tokenizer(TEXTS, "bert", vocab_size=200)
    record = tiny_record("bert", tokenizer.vocab_size)
    config = transformers.CONFIG_MAPPING["bert"](
        **{name: value for name, value in record.items() if name != "model_type"}
    )
    transformers.AutoModel.from_config(config).save_pretrained(path)
    for name, content in tokenizer.files().items():
        (path / name).write_bytes(content)
    return path


def built(address: Path | str, **said: Any) -> Any:
    return build_encoder(find_start(str(address)), BuildRequest(texts=TEXTS, **said))


def run_of(place: Place, **said: Any) -> Path:
    """Return a run on texts, as far as a start needs it."""
    encoder, path = built(place.bert(), **said), place.folder / "run"
    path.mkdir()
    state = {f"encoder.{name}": t.clone() for name, t in encoder.state_dict().items()}
    head = nn.Linear(encoder.num_features, 2).state_dict()
    save_file({**state, **{f"head.{n}": t for n, t in head.items()}}, path / "model.safetensors")
    record = {"architecture": encoder.architecture, "data_name": "films"}
    (path / "model.json").write_text(json.dumps(record))
    for name, content in encoder.preprocess.files().items():
        (path / name).write_bytes(content)
    return path


def rebuilt(place: Place, **said: Any) -> Any:
    encoder = built(place.bert())
    for name, content in encoder.preprocess.files().items():
        (place.folder / name).write_bytes(content)
    return rebuild_encoder(encoder.architecture, **said)


def tokens(place: Place, name: str | None = None, content: bytes = b"", length: int = 16) -> Any:
    path = place.bert()
    if name:
        (path / name).write_bytes(content)
    return read_tokenizer(path, length, "x")


def framed(place: Place, *template: str) -> Any:
    """Read a tokenizer whose template is one of special tokens, and of the text as $A."""
    path = place.bert()
    record = json.loads((path / TOKENIZER).read_text())
    record["post_processor"]["single"] = [
        {"Sequence": {"id": "A", "type_id": 0}}
        if word == "$A"
        else {"SpecialToken": {"id": word, "type_id": 0}}
        for word in template
    ]
    (path / TOKENIZER).write_text(json.dumps(record))
    return read_tokenizer(path, 16, "x")


def written_in_python(place: Place, is_fast: bool) -> Any:
    """Load a tokenizer that transformers reads as one written in Python, or a fast one."""
    import transformers

    class Slow:
        is_fast = False

    with pytest.MonkeyPatch.context() as patch:
        if not is_fast:
            patch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: Slow())
        return load_tokenizer(place.bert(), "x")


def headed(place: Place, number: int) -> Any:
    """Return the name of the classifier of a network that has as many of them."""
    config = configs.read_config(json.loads((place.bert() / "config.json").read_text()))

    def probe(*_: Any) -> nn.Module:
        return nn.Sequential(*(nn.Linear(4, configs._PROBE_LABELS) for _ in range(number)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configs, "_probe", probe)
        return configs.classifier_name(config)


def mean(place: Place) -> Any:
    return built(place.bert(), pooling="mean")


def at_most(limit: int, place: Place) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configs, "_MAX_PARAMETERS", limit)
        return built(place.bert())


def failing(place: Place, longest: int, **said: Any) -> Any:
    """Build an encoder whose network cannot take more tokens than some."""
    forward = networks.TextNetwork.forward

    def limited(self: Any, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        if ids.shape[1] > longest:
            raise RuntimeError(f"{ids.shape[1]} tokens are too many")
        return forward(self, ids, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks.TextNetwork, "forward", limited)
        return built(place.bert(), **said)


def flattened(place: Place) -> Any:
    """Build an encoder whose network gives features of each token in place of one vector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            networks.TextNetwork,
            "forward",
            lambda self, ids, mask: torch.zeros(*ids.shape, self.num_features),
        )
        return built(place.bert())


def without_minilm(address: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "MINILM_IMPORT", "no_such_package")
        return built(address)


def minilm(_: Place) -> Any:
    pytest.importorskip(catalog.MINILM_IMPORT)
    return in_extra(catalog.MINILM_PACKAGE, "minilm") and find_start("pip/all-minilm-l6-v2")


def from_the_hub(place: Place, repository: str, error: Exception | None = None, **has: Any) -> Any:
    """Build a start of a hub that holds our folder as a revision, or answers with an error."""
    import huggingface_hub

    def download(name: str, revision: str | None = None, **_: Any) -> str:
        if error is not None:
            raise error
        if revision is None:
            return str(place.without("model.safetensors"))
        return str(place.bert())

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        patch.setattr(weights, "why_unreachable", lambda: None)
        patch.setattr(weights, "cached_folder", lambda _: None)
        patch.setattr(huggingface_hub, "snapshot_download", download)
        return weights._hub_folder(repository)


def not_there() -> Exception:
    from huggingface_hub.errors import RepositoryNotFoundError

    error = RepositoryNotFoundError.__new__(RepositoryNotFoundError)
    Exception.__init__(error, "404")
    return error


def no_tensors(place: Place) -> Any:
    path = place.bert()
    save_file({}, path / "model.safetensors")
    from headstart.starts.weights import read_safetensors

    return read_safetensors(path / "model.safetensors")


def unread(texts: list[str], vocabulary: dict[str, int]) -> list[str]:
    """Return what is told of texts of which a tokenizer knows the words of a vocabulary."""
    ids = [np.array([vocabulary.get(word, 0) for word in text.split()]) for text in texts]
    found = measure(ids, texts, 0, np.zeros(len(vocabulary) + 1, bool), num_special=0).findings()
    return [each.sentence for each in found]


Do = Callable[[Place], Any]
GOOD: Do = lambda p: built(p.bert())  # noqa: E731
CASES = {
    "a pooling that nobody knows": Case(
        lambda p: built("scratch/bert-tiny", pooling="men"),
        "Choose one of them",
        lambda p: built("scratch/bert-tiny", pooling="mean"),
    ),
    "another pooling than a run's": Case(
        lambda p: built(run_of(p), pooling="mean"), "Leave pooling out", lambda p: built(run_of(p))
    ),
    "too long": Case(
        lambda p: built(p.bert(), max_length=81),
        "Choose a length in that range, or leave it out",
        lambda p: (built(p.bert(), max_length=80), built(p.bert())),
    ),
    "a length that a network cannot take": Case(
        lambda p: failing(p, 20, max_length=40),
        "Choose a smaller max_length",
        lambda p: failing(p, 20, max_length=20),
    ),
    "a network of another shape": Case(flattened, "Choose another start", GOOD),
    "a length of term weights": Case(
        lambda p: built("scratch/tfidf", max_length=40),
        "Leave them out",
        lambda p: built("scratch/tfidf"),
    ),
    "no room for text": Case(
        lambda p: tokens(p, length=2), "Choose a larger one", lambda p: tokens(p, length=3)
    ),
    "a package of weights": Case(
        lambda p: without_minilm("pip/all-minilm-l6-v2"), "Install it with .*minilm", minilm
    ),
    "code of its own": Case(
        lambda p: built(p.bert(auto_map={"a": "b"})), "Choose another start", GOOD
    ),
    "another kind of model": Case(
        lambda p: built(p.bert(model_type="whisper")), "Choose another start", GOOD
    ),
    "a decoder": Case(lambda p: built(p.bert(is_decoder=True)), "Choose another start", GOOD),
    "too many parameters": Case(
        lambda p: at_most(1000, p), "Choose a smaller start", lambda p: at_most(10**6, p)
    ),
    "no dropout to set": Case(
        lambda p: configs.set_dropout({"model_type": "x"}, 0.1, "x"), "Leave dropout out", GOOD
    ),
    "no blocks": Case(
        lambda p: networks.largest_list(nn.Linear(2, 2)),
        "Choose another start",
        lambda p: networks.largest_list(built(p.bert()).network),
    ),
    "a tokenizer with code": Case(
        lambda p: tokens(p, CONFIG, b'{"auto_map": {"AutoTokenizer": "x.py"}}'),
        "Choose another start",
        tokens,
    ),
    "a tokenizer without padding": Case(
        lambda p: tokens(p, CONFIG, b'{"pad_token": "<none>"}'),
        "Choose an encoder such as BERT",
        tokens,
    ),
    "a template without the text": Case(
        lambda p: framed(p, "[CLS]", "[SEP]"),
        "Expected a template such as .* Choose another start",
        lambda p: framed(p, "[CLS]", "$A", "[SEP]"),
    ),
    "a classifier of two layers": Case(
        lambda p: headed(p, 2), "or pooling 'mean'", lambda p: headed(p, 1) and mean(p)
    ),
    "no tokenizer": Case(
        lambda p: load_tokenizer(p.without(TOKENIZER), "x"),
        "Put it beside the weights",
        lambda p: load_tokenizer(p.bert(), "x"),
    ),
    "a tokenizer in Python": Case(
        lambda p: written_in_python(p, is_fast=False),
        "Choose another start, or convert it with transformers",
        lambda p: written_in_python(p, is_fast=True),
    ),
    "an architecture without its tokenizer": Case(
        rebuilt, "Give it: folder=…", lambda p: rebuilt(p, folder=p.folder)
    ),
    "a hub without safetensors": Case(
        lambda p: from_the_hub(p, "owner/name"),
        r"Name a revision that has one \('owner/name@refs/pr/<number>'",
        lambda p: from_the_hub(p, "owner/name@refs/pr/1"),
    ),
    "a name that the hub lacks": Case(
        lambda p: from_the_hub(p, "owner/nam", not_there()),
        "Expected owner/name or owner/name@revision, or a folder",
        lambda p: GOOD(p) and from_the_hub(p, "owner/name@main"),
    ),
    "no tensors": Case(no_tensors, "Give a file with weights", lambda p: built(p.bert())),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_text_starts_builds_one(name: str, saved, follow, heard) -> None:
    follow(CASES[name], place=lambda folder: Place(folder, saved))


def test_texts_of_another_language_take_another_start_as_advised(heard) -> None:
    texts = ["ein ganz anderer Satz hier"] * 5
    (told,) = unread(texts, {"a": 1, "film": 2})
    assert "or scratch/tfidf, which learns its terms from the texts" in told
    learned = build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=texts))
    assert unread(texts, dict.fromkeys(texts[0].split(), 1)) == []
    assert learned.num_features > 0
    heard(told)


def test_a_folder_of_pickled_weights_is_converted_by_the_very_line_that_is_advised(
    saved, tmp_path, heard
) -> None:
    import safetensors.torch

    place = Place(tmp_path, saved)
    folder = place.without("model.safetensors")
    state = safetensors.torch.load_file(saved / "model.safetensors")
    tied = {**state, "tied": next(iter(state.values()))}  # two names, one tensor: as tied weights
    torch.save(tied, folder / "pytorch_model.bin")
    with pytest.raises(StartError, match="is a pickle file") as refused:
        find_start(str(folder))
    line = str(refused.value).partition("where you trust it: ")[2].rstrip(".")
    eval(line, {"safetensors": safetensors, "torch": torch})
    assert built(folder).num_features == built(saved).num_features
    heard(refused.value)
