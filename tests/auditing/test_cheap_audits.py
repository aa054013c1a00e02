"""Audits that need no features: the same again, groups, classes, images, lengths; their time."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.auditing.audit import AuditTools, Spot
from headstart.auditing.counts import audit_counts
from headstart.auditing.image_files import audit_image_files
from headstart.auditing.lengths import audit_lengths
from headstart.auditing.running import audit_names, run_audits
from headstart.auditing.same import applies, audit_same
from headstart.auditing.spots import label_of, name_of
from headstart.auditing.told_groups import audit_groups
from headstart.errors import OptionError

TOOLS = AuditTools()
RNG = np.random.default_rng(0)


def image_bytes(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return RNG.integers(0, 255, shape, dtype=np.uint8)


def images(encoded: list[bytes], **columns) -> hs.load:
    labels = ["cat", "dog"] * (len(encoded) // 2)
    return hs.load(pd.DataFrame({"image": encoded, "label": labels}).assign(**columns))


def rows(number: int = 100, **columns) -> pd.DataFrame:
    table = pd.DataFrame({"a": RNG.normal(size=number), "b": RNG.normal(size=number)})
    table["label"] = ["no", "yes"] * (number // 2)
    table["split"] = ["train"] * (number - 40) + ["val"] * 20 + ["test"] * 20
    return table.assign(**columns)


def sentences(found) -> str:
    return " | ".join(audited.finding.sentence for audited in found)


# The same again -----------------------------------------------------------------------------------


def test_every_pair_is_named_not_only_the_first():
    table = rows(400)
    for i in range(15):
        table.loc[380 + i, ["a", "b", "label"]] = table.loc[i, ["a", "b", "label"]]
    data = hs.load(table)
    leak = audit_same(data, TOOLS)[0]
    assert (leak.finding.kind, leak.finding.severity) == ("leak", "error")
    pairs = {(name_of(data, s.spot), name_of(data, s.beside)) for s in leak.suspects}
    assert pairs == {(f"row {381 + i}", f"row {1 + i}") for i in range(15)}
    assert all(s.certainty == 1.0 for s in leak.suspects)
    assert {len(group) for group in leak.together} == {2}


def test_what_load_says_the_audit_says_too_with_the_same_words():
    table = rows()
    table.loc[90, ["a", "b"]] = table.loc[3, ["a", "b"]]  # row 4 is 'yes', row 91 is 'no'
    table.loc[20, ["a", "b", "label"]] = table.loc[30, ["a", "b", "label"]]
    data = hs.load(table)
    by_kind = {found.finding.kind: found for found in audit_same(data, TOOLS)}
    told = {found.kind: found for found in data.findings}
    for kind in ("leak", "copies", "contradiction"):
        assert by_kind[kind].finding.sentence == told[kind].sentence
    (odd,) = by_kind["contradiction"].suspects
    assert {label_of(data, odd.spot), label_of(data, odd.beside)} == {"no", "yes"}
    (twin,) = by_kind["copies"].suspects
    assert {name_of(data, twin.spot), name_of(data, twin.beside)} == {"row 21", "row 31"}


def test_chance_is_no_copy():
    table = pd.DataFrame({"sex": RNG.integers(0, 2, 300), "town": RNG.integers(0, 3, 300)})
    data = hs.load(table.assign(label=np.where(RNG.random(300) < 0.5, "a", "b")))
    assert not applies(data)
    short = [["yes", "no", "fine", "good", "bad"][i % 5] for i in range(150)]
    long = [f"number {i} was a long story of its own" for i in range(150)]
    said = pd.DataFrame({"text": short + long, "label": ["a", "b", "a"] * 100})
    assert audit_same(hs.load(said, text="text"), TOOLS) == []


@pytest.mark.parametrize("columns", [2, 3, 8])
@pytest.mark.parametrize("number", [1, 12])
def test_measurements_that_are_the_same_in_every_column_are_copies(columns, number):
    table = rows(200)[["label", "split"]].join(pd.DataFrame(RNG.normal(size=(200, columns))))
    table.columns = [str(name) for name in table.columns]
    named = [name for name in table.columns if name not in ("label", "split")]
    for i in range(number):
        table.loc[180 + i, named] = table.loc[i, named]
    data = hs.load(table)
    assert applies(data)
    assert len(audit_same(data, TOOLS)[0].suspects) == number


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_other_tasks_have_leaks_too(task):
    target = (
        [f"x;{'yz'[i % 2]}" for i in range(100)] if task == "multi-label" else RNG.normal(size=100)
    )
    table = rows(label=target)
    table.loc[95, ["a", "b", "label"]] = table.loc[5, ["a", "b", "label"]]
    data = hs.load(table, separator=";" if task == "multi-label" else None)
    assert data.schema.task == task
    leak = audit_same(data, TOOLS)[0]
    assert leak.finding.kind == "leak"
    assert label_of(data, leak.suspects[0].spot) == label_of(data, leak.suspects[0].beside)


# Groups, classes ----------------------------------------------------------------------------------


def test_groups_on_one_side_are_nothing_to_tell():
    data = hs.load(rows(who=[f"p{i // 4}" for i in range(100)]), group="who")
    assert audit_groups(data, TOOLS) == []


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a", "b"] * 50, "of 2 classes: 'a' 30, 'b' 30."),
        ([f"c{i % 10}" for i in range(100)], "of 10 classes: 'c0' 6, 'c1' 6, 'c2' 6 … "),
    ],
)
def test_classes_are_counted(labels, said):
    assert said in sentences(audit_counts(hs.load(rows(label=labels)), TOOLS))


def test_several_labels_are_counted_each():
    data = hs.load(rows(label=[f"x;{'yz'[i % 2]}" for i in range(100)]), separator=";")
    assert "of 3 labels: 'x' 60, 'y' 30, 'z' 30." in sentences(audit_counts(data, TOOLS))


# Images -------------------------------------------------------------------------------------------


def test_sizes_forms_and_frames_are_told():
    encoded = [image_bytes(noise(60, 80)) for _ in range(40)]
    encoded[0] = image_bytes(noise(30, 40, 1))
    encoded[1] = image_bytes(noise(60, 80, 4))
    encoded[2] = image_bytes(noise(200, 300), "JPEG")
    frames = [Image.fromarray(noise(60, 80)) for _ in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    encoded[3] = buffer.getvalue()
    said = sentences(audit_image_files(images(encoded), TOOLS))
    assert "40 images: from 40 x 30 to 300 x 200 pixels, usually 80 x 60" in said
    assert "1 grey" in said
    assert "1 partly transparent" in said
    assert "1 file has several frames" in said


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_files_that_break_off_are_left_out_when_they_are_loaded(kind):
    encoded = [image_bytes(noise(60, 80), kind) for _ in range(120)]
    encoded[7] = encoded[7][: len(encoded[7]) // 2]
    assert [bad.name for bad in images(encoded).bad_samples] == ["row 8"]


def test_files_that_are_damaged_inside_are_named_and_to_be_left_out():
    encoded = [image_bytes(noise(60, 80), "PNG") for _ in range(120)]
    middle = len(encoded[7]) // 2
    encoded[7] = encoded[7][:middle] + bytes(64) + encoded[7][middle + 64 :]
    data = images(encoded)
    broken = next(f for f in audit_image_files(data, TOOLS) if f.finding.kind == "unreadable")
    assert [name_of(data, s.spot) for s in broken.suspects] == ["row 8"]
    assert broken.leave_out
    assert broken.finding.severity == "warning"
    assert "A training leaves them out." in broken.finding.sentence


def test_icons_among_photographs_are_named():
    encoded = [image_bytes(noise(300, 300), "JPEG") for _ in range(40)]
    encoded[5] = image_bytes(noise(16, 16))
    data = images(encoded)
    tiny = [f for f in audit_image_files(data, TOOLS) if f.finding.severity == "warning"]
    assert [name_of(data, s.spot) for f in tiny for s in f.suspects] == ["row 6"]


def test_small_pictures_are_no_icons():
    assert "smaller" not in sentences(audit_image_files(hs.load("digits-8x8"), TOOLS))


def test_what_the_time_did_not_allow_is_said():
    encoded = [image_bytes(noise(20, 20)) for _ in range(600)]
    calls = iter([False, True, True, True])
    found = audit_image_files(images(encoded), AuditTools(is_over=lambda: next(calls)))
    assert "256 images: all have 20 x 20 pixels; all colour. Of 600, more were not" in sentences(
        found
    )


# Texts --------------------------------------------------------------------------------------------


def texts(given: list[str]) -> hs.load:
    return hs.load(pd.DataFrame({"text": given, "label": ["a", "b"] * (len(given) // 2)}))


def test_words_that_were_given_are_counted_where_nothing_stands_between_them():
    rows = [list("王小明在北京大学读书"), list("他住在上海市")] * 30
    tags = [["O"] * len(row) for row in rows]
    for row in tags:
        row[0] = "B-PER"
    said = sentences(audit_lengths(hs.load((rows, tags)), TOOLS))
    assert "Texts have 10 words usually, 95 % at most 10, the longest 10." in said


def test_long_texts_and_empty_ones_are_named():
    given = [
        f"number {i} is a text of quite usual length, neither long nor short" for i in range(60)
    ]
    given[10] = "many words " * 400
    given[20] = "."
    data = texts(given)
    found = audit_lengths(data, TOOLS)
    said = sentences(found)
    assert "Texts have 13 words usually" in said
    assert "the longest 801" in said
    assert "1 of 60 texts (1.7%) have more than about 256 tokens (counted by their words)" in said
    named = {f.finding.kind: [name_of(data, s.spot) for s in f.suspects] for f in found}
    assert named["truncated"] == ["row 11"]
    assert [name_of(data, s.spot) for s in found[-1].suspects] == ["row 21"]


def test_the_tokenizer_of_a_start_counts_where_there_is_one():
    given = ["a rather usual text of ten words, give or take"] * 400
    given = [f"{text} {i}" for i, text in enumerate(given)]
    given[7] = "supercalifragilisticexpialidocious " * 100  # few words, many tokens
    data = texts(given)
    tools = AuditTools(start="pip/all-minilm-l6-v2")
    cut = next(f for f in audit_lengths(data, tools) if f.finding.kind == "truncated")
    assert [name_of(data, s.spot) for s in cut.suspects] == ["row 8"]
    assert "the 16 tokens that pip/all-minilm-l6-v2 is given" in cut.finding.sentence
    guessed = audit_lengths(data, TOOLS)
    assert "truncated" not in [f.finding.kind for f in guessed]


# Running ------------------------------------------------------------------------------------------


def test_names_are_taken_with_hyphens_and_refused_with_the_nearest():
    assert audit_names(["doubtful-labels", "copies"]) == ["doubtful labels", "copies"]
    with pytest.raises(OptionError, match=r"'lenghts', which is no audit.*Did you mean 'lengths'"):
        audit_names(["lenghts"])


def test_findings_of_loading_are_shown_once_and_the_gravest_first():
    table = rows()
    table.loc[90, ["a", "b", "label"]] = table.loc[4, ["a", "b", "label"]]
    data = hs.load(table.assign(number=range(100)))
    results = run_audits(data, TOOLS, seconds=60, why_not={}, known=data.findings)
    kinds = [found.finding.kind for _, found in results.by_gravity]
    assert kinds[0] == "leak"
    assert results.by_gravity[0][1].finding.severity == "error"
    assert all(kinds.count(kind) == 1 for kind in ("leak", "copies", "identifier"))
    assert Spot("train", 4) in {s.beside for s in results.by_gravity[0][1].suspects}
    skipped = run_audits(data, TOOLS, seconds=60, why_not={"copies": "no"}, known=data.findings)
    assert [f.finding.kind for _, f in skipped.found].count("leak") == 1  # then loading's stays
