"""Tags of words in every form that people have them, and what is wrong said by its place."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from headstart.data import load
from headstart.data.sources.tagged import tags_of
from headstart.errors import DataError, OptionError

SENTENCES = [
    (["Ada", "lives", "in", "New", "York", "."], ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"]),
    (["No", "one", "came"], ["O", "O", "O"]),
    (["Bob", "met", "Cy"], ["B-PER", "O", "B-PER"]),
]


def _many(num=40):
    words, tags = [], []
    for number in range(num):
        some, told = SENTENCES[number % 3]
        words.append([*some, f"w{number}"])
        tags.append([*told, "O"])
    return words, tags


def _lines(words, tags, between="\t", middle=()):
    parts = [
        "\n".join(between.join([word, *middle, tag]) for word, tag in zip(*both, strict=True))
        for both in zip(words, tags, strict=True)
    ]
    return "\n\n".join(parts) + "\n"


def _same(data, words, tags):
    """Return whether each text has its tags."""
    known = {tuple(w): t for w, t in zip(words, tags, strict=True)}
    seen = 0
    for split in (data.train, data.val, data.test):
        for place in range(len(split)):
            text = split.samples.read(place)
            told = [data.schema.classes[k] for k in split.targets[place]]
            assert known[tuple(text.words)] == told
            seen += 1
    return seen == len(words)


@pytest.mark.parametrize(
    ("between", "middle", "name"),
    [("\t", (), "a.conll"), (" ", ("NN", "I-NP"), "eng.train"), (" ", ("_",), "tags.txt")],
)
def test_conll_is_known_by_its_lines(tmp_path, between, middle, name):
    words, tags = _many()
    content = _lines(words, tags, between, middle)
    if middle:
        content = f"-DOCSTART- -X- -X- O\n\n{content}" if len(middle) == 2 else content
    (tmp_path / name).write_text(content)
    data = load(str(tmp_path / name))
    assert data.schema.task == "token-classification"
    assert data.schema.classes == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert _same(data, words, tags)


def test_a_folder_of_conll_files_brings_its_splits(tmp_path):
    words, tags = _many(60)
    for name, part in (("x.train.conll", slice(0, 40)), ("x.dev", slice(40, 50))):
        (tmp_path / name).write_text(_lines(words[part], tags[part]))
    (tmp_path / "x.test.annotated").write_text(_lines(words[50:], tags[50:]))
    (tmp_path / "README.md").write_text("# Names\n")
    data = load(str(tmp_path))
    assert [len(s) for s in (data.train, data.val, data.test)] == [40, 10, 10]
    assert _same(data, words, tags)


def test_lists_of_words_with_lists_of_tags_in_memory_frame_and_parquet(tmp_path):
    words, tags = _many()
    assert _same(load((words, tags)), words, tags)
    frame = pd.DataFrame({"id": range(40), "tokens": words, "ner_tags": tags})
    assert _same(load(frame), words, tags)
    frame.to_parquet(tmp_path / "all.parquet")
    assert _same(load(str(tmp_path / "all.parquet")), words, tags)


def test_numbers_of_tags_have_the_names_that_the_file_states(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    words, tags = _many()
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    numbers = [[names.index(tag) for tag in row] for row in tags]
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    about = {"info": {"features": {"ner_tags": feature, "tokens": {"_type": "Sequence"}}}}
    table = pa.table({"tokens": words, "ner_tags": numbers})
    table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, tmp_path / "hf.parquet")
    assert _same(load(str(tmp_path / "hf.parquet")), words, tags)


def test_tags_of_single_words_are_another_task():
    words, tags = _many()
    speech = [["NOUN" if tag != "O" else "VERB" for tag in row] for row in tags]
    data = load((words, speech))
    assert (data.schema.task, data.schema.classes) == ("tagging", ("NOUN", "VERB"))


@pytest.mark.parametrize("form", ["doccano", "prodigy"])
def test_texts_with_spans_become_tags_of_words(tmp_path, form):
    rows = []
    for number in range(30):
        text = f"Ada{number} lives in New York, here."
        spans = [(0, len(f"Ada{number}"), "PER"), (text.index("New"), text.index(","), "LOC")]
        if form == "doccano":
            rows.append({"id": number, "text": text, "label": [list(span) for span in spans]})
        else:
            marks = [{"start": s, "end": e, "label": kind} for s, e, kind in spans]
            answer = "reject" if number == 29 else "accept"
            rows.append({"text": text, "spans": marks, "answer": answer, "_input_hash": number})
    path = tmp_path / f"{form}.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    data = load(str(path))
    assert data.schema.task == "token-classification"
    total = sum(len(split) for split in (data.train, data.val, data.test))
    assert total == (30 if form == "doccano" else 29)
    text = data.train.samples.read(0)
    told = [data.schema.classes[k] for k in data.train.targets[0]]
    assert text.words[1:] == ["lives", "in", "New", "York", ",", "here", "."]
    assert told == ["B-PER", "O", "O", "B-LOC", "I-LOC", "O", "O", "O"]


def test_a_span_that_ends_inside_a_word_cuts_the_word():
    sentence, tags = tags_of("antibody-based", [(0, 4, "PRE")], "row 1")
    assert sentence.words == ["anti", "body", "-", "based"]
    assert tags == ["B-PRE", "O", "O", "O"]


def test_chinese_is_read_by_character(tmp_path):
    words = [[*"阿达住在上海", str(i % 10)] for i in range(30)]
    tags = [["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"] for _ in words]
    (tmp_path / "zh.txt").write_text(_lines(words, tags), encoding="utf-8")
    data = load(str(tmp_path / "zh.txt"))
    assert data.train.samples.read(0).startswith("阿达住在上海")
    sentence, told = tags_of("阿达住在上海", [(4, 6, "LOC")], "row 1")
    assert told == ["O", "O", "O", "O", "B-LOC", "I-LOC"]
    assert sentence.words == [*"阿达住在上海"]


def test_a_ragged_line_is_refused_by_its_number(tmp_path):
    words, tags = _many()
    content = _lines(words, tags).replace("w30\tO", "w30")
    (tmp_path / "bad.conll").write_text(content)
    with pytest.raises(DataError, match=r"Line 1\d\d of bad.conll has 1 columns.*has 2: 'w30'"):
        load(str(tmp_path / "bad.conll"))


def test_as_many_tags_as_words_are_asked_for():
    words, tags = _many()
    tags[20] = tags[20][:-1]
    with pytest.raises(DataError, match=r"Row 21 of the lists has 4 words .* and 3 tags"):
        load((words, tags))


@pytest.mark.parametrize(
    ("marks", "said"),
    [([(0, 9, "X")], "is not within its text"), ([(0, 3, "X"), (2, 5, "Y")], "overlap")],
)
def test_spans_that_no_word_can_have_are_refused(marks, said):
    with pytest.raises(DataError, match=said):
        tags_of("Ada is", marks, "row 1")


def test_another_task_than_the_tags_ask_for_is_refused():
    words, tags = _many()
    with pytest.raises((DataError, OptionError)):
        load((words, tags), task="regression")


@pytest.mark.parametrize("place", [0, 7])
def test_a_row_without_words_is_left_out_and_hides_no_tags(place):
    words, tags = _many()
    frame = pd.DataFrame({"tokens": words, "ner_tags": tags})
    frame = pd.concat(
        [frame[:place], pd.DataFrame({"tokens": [[]], "ner_tags": [[]]}), frame[place:]]
    )
    data = load(frame.reset_index(drop=True))
    assert data.schema.task == "token-classification"
    assert len(data.train) + len(data.val) + len(data.test) == len(words)


def test_tags_that_are_too_few_in_every_row_are_refused_by_the_first(heard):
    words, tags = _many()
    frame = pd.DataFrame({"tokens": words, "ner_tags": [row[:-1] for row in tags]})
    with pytest.raises(
        DataError, match="Row 1 of the DataFrame has 7 words in 'tokens' and 6"
    ) as caught:
        load(frame)
    assert load(frame.assign(ner_tags=tags)).schema.task == "token-classification"
    heard(caught.value)


@pytest.mark.parametrize("scheme", ["IOB", "BIOES"])
@pytest.mark.parametrize("name", ["a.conll", "names.txt", "eng.train"])
def test_lines_of_words_without_a_blank_one_are_known_and_what_is_missing_is_said(
    tmp_path, scheme, name
):
    words, tags = _many(12)
    if scheme == "BIOES":
        tags = [[tag.replace("I-", "E-").replace("B-PER", "S-PER") for tag in row] for row in tags]
    (tmp_path / name).write_text(_lines(words, tags).replace("\n\n", "\n"))
    number = sum(map(len, words))
    with pytest.raises(DataError, match=rf"no blank line between its {number:,} words"):
        load(str(tmp_path / name))
    folder = tmp_path / "both"
    folder.mkdir()
    for split in ("train.txt", "test.txt"):
        (folder / split).write_text((tmp_path / name).read_text())
    with pytest.raises(DataError, match=r"test.txt has no blank line"):
        load(str(folder))


def test_two_columns_that_are_no_tags_of_entities_are_no_words(tmp_path):
    rows = ["good\tB-12", "bad\tC-13", *(f"text {i}\tB-{i}" for i in range(20))]
    (tmp_path / "grades.txt").write_text("\n".join(rows))
    with pytest.raises(DataError, match="is not a table"):
        load(str(tmp_path / "grades.txt"))
    (tmp_path / "one.txt").write_text("\n".join(f"word{i}\tO" for i in range(20)))
    with pytest.raises(DataError, match="is not a table"):
        load(str(tmp_path / "one.txt"))


def test_documents_end_sentences_where_no_blank_line_does(tmp_path):
    words, tags = _many()
    parts = _lines(words, tags).strip().split("\n\n")
    begin = "-DOCSTART- -X- O O\n"
    (tmp_path / "a.txt").write_text("\n".join(begin + part for part in parts))
    assert _same(load(str(tmp_path / "a.txt")), words, tags)


@pytest.mark.parametrize("line", ["d", "d\tO\tO"])
def test_in_a_few_lines_too_the_ragged_one_is_said(tmp_path, line):
    (tmp_path / "few.conll").write_text(f"a\tB-X\nb\tO\n\nc\tO\n{line}\n")
    with pytest.raises(DataError, match=rf"Line 5 of few.conll has {1 + line.count(chr(9))} col"):
        load(str(tmp_path / "few.conll"))


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"], ids=["return", "both", "feed"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_lines_end_as_any_system_ends_them(tmp_path, end, encoding, heard):
    words, tags = _many()
    path = tmp_path / "names.txt"
    path.write_bytes(_lines(words, tags).replace("\n", end).encode(encoding))
    if not encoding.startswith("utf-16"):
        assert _same(load(str(path)), words, tags)
        return
    with pytest.raises(DataError, match=r"looks like UTF-16\. Say --encoding utf-16") as caught:
        load(str(path))
    said = str(caught.value).split("--encoding ")[1].split(",")[0]
    assert _same(load(str(path), encoding=said), words, tags)
    heard(caught.value)


@pytest.mark.parametrize(
    "write",
    [
        lambda word, tag: f" {word} {tag}",
        lambda word, tag: f"{word} _\t{tag}",
        lambda word, tag: f"{word} \t {tag} ",
        lambda word, tag: f"{word:12}{tag}",
        lambda word, tag: f"{word}\t\t{tag}" if word > "i" else f"{word} {tag}",
    ],
    ids=["indented", "tab behind blank", "both", "padded", "by turns"],
)
def test_columns_between_tabs_and_blanks_by_turns(tmp_path, write):
    words, tags = _many()
    parts = ["\n".join(map(write, *both)) for both in zip(words, tags, strict=True)]
    (tmp_path / "a.bio").write_text("\n\n".join(parts))
    assert _same(load(str(tmp_path / "a.bio")), words, tags)


@pytest.mark.parametrize("between", ["\t", " "])
def test_a_word_with_another_blank_or_end_of_line_stays_one(tmp_path, between):
    words, tags = _many()
    words[3][0], words[5][1] = "a\u2028b", "c\x85d"
    words[0][1], words[9][0], words[30][2] = "\u3000", "\u00a0", "x\u00a0y"
    (tmp_path / "a.conll").write_text(_lines(words, tags, between), encoding="utf-8")
    data = load(str(tmp_path / "a.conll"))
    total = sum(len(row) for split in (data.train, data.val, data.test) for row in split.targets)
    assert total == sum(map(len, tags))


OTHERS = {
    "tags first": ("B-PER Ada\nO came\n\nO no\nB-PER Bob\n", "Line 1 of {} ends in 'Ada'"),
    "small tags": ("Ada b-per\ncame o\n\nBob b-per\n", "Line 1 of {} ends in 'b-per'"),
    "tags alone": ("B-PER\nO\n\nO\n", "Line 1 of {} has 1 column: 'B-PER'"),
    "prose": ("# names\nAda NN\nShe came here.\n", "Line 3 of {} ends in 'here.'"),
    "no sentences": ("Ada NN\ncame VB\nhere RB\n", "{} has no blank line among its first 3"),
    "nothing": ("\n\n# names\n", "{} has no line of a word"),
}


@pytest.mark.parametrize("name", ["a.conll", "b.iob2", "train.bio.txt", "c.conllu"])
@pytest.mark.parametrize("case", OTHERS)
def test_what_is_called_conll_and_is_none_is_told_the_line(tmp_path, name, case):
    content, said = OTHERS[case]
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said.format(name)):
        load(str(tmp_path / name))


def test_one_file_of_a_folder_that_is_none_is_told_its_line(tmp_path, heard):
    words, tags = _many()
    (tmp_path / "train.txt").write_text(_lines(words, tags))
    (tmp_path / "test.txt").write_text(_lines(words, [[t.lower() for t in row] for row in tags]))
    with pytest.raises(DataError, match=r"Line 1 of test.txt ends in 'b-per'") as caught:
        load(str(tmp_path))
    (tmp_path / "test.txt").write_text(_lines(words, tags))
    assert load(str(tmp_path)).schema.task == "token-classification"
    heard(caught.value)


def test_few_words_without_a_blank_line_are_told_where_to_put_one(tmp_path, heard):
    words, tags = [["Ada", "came"], ["Bob", "left"]] * 10, [["NN", "VB"]] * 20
    path = tmp_path / "a.conll"
    path.write_text(_lines(words[:2], tags[:2]).strip().replace("\n\n", "\n"))
    with pytest.raises(DataError, match="no blank line among its first 4 words") as caught:
        load(str(path))
    path.write_text(_lines(words, tags))
    assert load(str(path)).schema.task == "tagging"
    heard(caught.value)


def test_a_column_that_lines_have_not_is_refused(tmp_path, heard):
    words, tags = _many()
    (tmp_path / "a.conll").write_text(_lines(words, tags))
    with pytest.raises(DataError, match="the last column; there is no column 'ner'") as caught:
        load(str(tmp_path / "a.conll"), label="ner")
    assert _same(load(str(tmp_path / "a.conll")), words, tags)
    assert _same(load(str(tmp_path / "a.conll"), label="tags"), words, tags)
    heard(caught.value)
