"""Starts that read by SentencePiece files, and those that are told languages by tokens."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
import torch
from pairs_of_texts import pairs_of, write_pairs

transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")

import headstart as hs  # noqa: E402
from headstart.data import load  # noqa: E402
from headstart.errors import StartError  # noqa: E402
from headstart.preprocessing.languages import in_languages  # noqa: E402
from headstart.preprocessing.sentence_pieces import convert_pieces  # noqa: E402
from headstart.preprocessing.vocabulary import load_tokenizer  # noqa: E402
from headstart.recipes.run import open_run  # noqa: E402
from headstart.starts import BuildRequest, build_encoder, find_start  # noqa: E402
from headstart.types.texts import Telling  # noqa: E402

TEXTS, WANTED = pairs_of(200)
ODD = [
    "  two  blanks ",
    "Zürich — 3½ km",
    "ﬁne",
    "",
    "日本 dog",
    "dog</s>cat",
    "the\tman\nsees",
    "▁",
]
SMALL = {
    "d_model": 32,
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 1),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 64),
    "max_position_embeddings": 64,
}


def _pieces(texts, place, kind, size):
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=made,
        vocab_size=size,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    place.write_bytes(made.getvalue())
    model = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    return [model.IdToPiece(i) for i in range(model.GetPieceSize())]


def _network(folder, kind, size, **ids):
    config = transformers.CONFIG_MAPPING[kind](vocab_size=size, **SMALL, **ids)
    torch.manual_seed(0)
    transformers.AutoModelForSeq2SeqLM.from_config(config).save_pretrained(str(folder))


def _opus(folder, codes=()):
    """Write a folder as OPUS-MT's are: two SentencePiece models, one table."""
    folder.mkdir()
    sides = [
        _pieces(texts, folder / name, "unigram", 90)
        for texts, name in ((TEXTS, "source.spm"), (WANTED, "target.spm"))
    ]
    own = [p for side in sides for p in side if p not in ("<s>", "</s>", "<unk>")]
    names = list(dict.fromkeys(["</s>", "<unk>", *codes, *reversed(own), "<pad>"]))
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 60}')
    pad = len(names) - 1
    _network(
        folder, "marian", len(names), pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad
    )
    return folder


def _m2m(folder):
    """Write a folder as M2M100's are: one SentencePiece model, and languages behind its table."""
    folder.mkdir()
    own = _pieces([*TEXTS, *WANTED], folder / "sentencepiece.bpe.model", "bpe", 150)
    names = ["<s>", "<pad>", "</s>", "<unk>", *own[3:]]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    ids = {"pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0, "decoder_start_token_id": 2}
    _network(folder, "m2m_100", len(names) + 108, **ids)
    return folder


@pytest.mark.filterwarnings("ignore")  # transformers recommends a package
def test_marian_reads_and_writes_the_ids_of_transformers(tmp_path):
    folder = _opus(tmp_path / "opus-mt-en-de")
    read, told = convert_pieces(folder, "opus")
    slow = transformers.MarianTokenizer.from_pretrained(str(folder))
    texts = [*TEXTS[:40], *WANTED[:40], *ODD]
    assert [row.tolist() for row in read.encode(texts)[0]] == slow(texts)["input_ids"]
    wanted = slow(text_target=texts)["input_ids"]
    assert [row.tolist() for row in told.encode(texts)[0]] == wanted
    ids = [i for i in slow(text_target=WANTED[0])["input_ids"] if i]
    assert told.decode(ids).strip() == WANTED[0]
    assert read.encode(texts)[0][40].tolist() != wanted[40]  # the sides differ, or nothing is shown


@pytest.mark.filterwarnings("ignore")
def test_m2m100_reads_and_writes_the_ids_of_transformers(tmp_path):
    folder = _m2m(tmp_path / "m2m")
    found = convert_pieces(folder, "m2m")
    assert found[1] is None
    sides = in_languages(found[0], found[0], "en,de", "m2m")
    slow = transformers.M2M100Tokenizer.from_pretrained(str(folder), src_lang="en", tgt_lang="de")
    texts = [*TEXTS[:40], *WANTED[:40], *ODD]
    assert [row.tolist() for row in sides.read.encode(texts)[0]] == slow(texts)["input_ids"]
    wanted = slow(text_target=texts)["input_ids"]
    assert [row.tolist() for row in sides.told.encode(texts)[0]] == wanted
    assert sides.forced_id == slow.get_lang_id("de")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["NllbTokenizer", "MBart50Tokenizer", "MBartTokenizer"])
def test_languages_stand_where_transformers_puts_them(tmp_path, kind):
    names = ["<unk>", "<s>", "</s>", *"▁abcdefghijklmnopqrstuvwxyz"]
    known = {"NllbTokenizer": ("fra_Latn", "deu_Latn")}.get(kind, ("fr_XX", "de_DE"))
    own = ["<s>", "<pad>", "</s>", "<unk>", *names[3:]]
    vocab = (
        {name: i for i, name in enumerate(own)}
        if kind.startswith("Nllb")
        else [(name, -1.0) for name in names]
    )
    made = getattr(transformers, kind)(vocab=vocab, src_lang=known[0], tgt_lang=known[1])
    made.save_pretrained(str(tmp_path))
    tokenizer = load_tokenizer(tmp_path, kind)
    sides = in_languages(tokenizer, tokenizer, ",".join(known), kind)
    assert sides.read.encode(["a bird"])[0][0].tolist() == made("a bird")["input_ids"]
    of_target = made.convert_tokens_to_ids(known[1])
    wanted = made(text_target="ein vogel")["input_ids"]
    if kind == "MBartTokenizer":  # the language begins what is written, and ends nothing
        assert (sides.begin_id, wanted[-1]) == (of_target, of_target)
        wanted = wanted[:-1]
    else:
        assert sides.forced_id == of_target == wanted[0]
    assert sides.told.encode(["ein vogel"])[0][0].tolist() == wanted
    again = in_languages(sides.read, sides.told, ",".join(reversed(known)), kind)
    assert again.read.frame != sides.read.frame


def test_a_multilingual_marian_is_told_the_target_before_the_text(tmp_path):
    folder = _opus(tmp_path / "opus", codes=(">>deu<<", ">>nld<<"))
    request = BuildRequest(texts=TEXTS, wanted=WANTED, tells_texts=True, languages="eng,nld")
    encoder = build_encoder(find_start(str(folder)), request)
    ids = encoder.preprocess.read(["the dog"]).asked(np.arange(1))[0]
    code = json.loads((folder / "vocab.json").read_text())[">>nld<<"]
    assert ids[0, 0] == code
    again = in_languages(encoder.preprocess.tokenizer, encoder.preprocess.writer, "en,deu", "opus")
    assert again.read.frame[0] == [code - 1]


@pytest.mark.parametrize(
    ("languages", "told"),
    [
        (None, "told by tokens which languages"),
        ("en", "languages 'en' are not two"),
        ("en,dee", "knows no language 'dee'.* Did you mean"),
    ],
)
def test_languages_that_say_too_little_are_refused(tmp_path, languages, told, heard):
    start = find_start(str(_m2m(tmp_path / "m2m")))
    words = {"texts": TEXTS, "wanted": WANTED, "tells_texts": True}
    with pytest.raises(StartError, match=told) as refused:
        build_encoder(start, BuildRequest(**words, languages=languages))
    named = re.search(r"Say --languages (\S+) \(", str(refused.value))
    advised = named[1] if named else "en,de"  # or another name
    assert build_encoder(start, BuildRequest(**words, languages=advised)).preprocess.first_id
    heard(refused.value)


def test_what_is_no_table_and_whoever_is_told_no_language_are_refused(tmp_path, heard):
    folder = _opus(tmp_path / "opus")
    request = BuildRequest(texts=TEXTS, wanted=WANTED, tells_texts=True, languages="en,de")
    with pytest.raises(StartError, match=r"is told no languages.* Leave --languages out") as told:
        build_encoder(find_start(str(folder)), request)
    request = BuildRequest(texts=TEXTS, wanted=WANTED, tells_texts=True)
    assert build_encoder(find_start(str(folder)), request).preprocess.first_id is None
    heard(told.value)
    table = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({**table, "more": 3}))
    with pytest.raises(StartError, match="is no table of ids"):
        build_encoder(find_start(str(folder)), request)
    (folder / "vocab.json").write_text(json.dumps(table))
    config = (folder / "tokenizer_config.json").read_text()
    (folder / "tokenizer_config.json").write_text('{"separate_vocabs": true}')
    with pytest.raises(StartError, match=r"a table of ids for either side") as told:
        build_encoder(find_start(str(folder)), request)
    (folder / "tokenizer_config.json").write_text(config)  # another start: with one table
    build_encoder(find_start(str(folder)), request)
    heard(told.value)
    (folder / "source.spm").write_bytes(b"no")
    with pytest.raises(StartError, match=r"source\.spm' cannot be read"):
        build_encoder(find_start(str(folder)), request)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "languages"), [(_opus, None), (_m2m, "en,de")])
def test_such_a_start_is_trained_served_again_and_exported(tmp_path, make, languages):
    folder = make(tmp_path / "start")
    place = tmp_path / ("toy-en-de" if languages is None else "toy")  # what is said tells as much
    data = write_pairs(place, {"train": 60, "val": 12, "test": 12})
    run = hs.finetune(
        str(data), start=str(folder), languages=languages, num_steps=4, out=str(tmp_path / "run")
    )
    assert run.schema.label == "de"
    texts = TEXTS[:5]
    said = [one.text for one in run.predict(texts)]
    assert [one.text for one in open_run(tmp_path / "run").predict(texts)] == said
    place = tmp_path / "exported"
    hs.export(str(run.path), to="transformers", out=str(place))
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(place)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(place))
    read = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = model.generate(read["input_ids"], attention_mask=read["attention_mask"])
    if languages is not None:
        begun = {row[1] for row in found.tolist()}
        assert begun == {tokenizer.convert_tokens_to_ids("__de__")}
    network = run.model.encoder.network
    inputs = run.model.encoder.preprocess.read(texts)
    ids, mask = (torch.from_numpy(a) for a in inputs.asked(np.arange(5)))
    how = Telling(4, 60)
    assert network.tell(ids, mask, how=how).shape[0] == 5
    further = hs.finetune(
        load(str(data), languages="en,de"),
        start=str(tmp_path / "run"),
        num_steps=2,
        out=str(tmp_path / "further"),
    )
    kept = further.model.encoder.preprocess
    assert kept.writer.files() == run.model.encoder.preprocess.writer.files()
