"""A list of fixes: applied exactly, in any order of the data, and refused for other data."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.auditing.audit import Audited, Spot, Suspect
from headstart.auditing.repairs import repairs
from headstart.data.fix_lists import Fix, read_fixes, write_fixes
from headstart.data.fixes import written_id
from headstart.errors import DataError, OptionError
from headstart.types import Finding

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def frame(number: int = 100, **columns) -> pd.DataFrame:
    table = pd.DataFrame({"a": RNG.normal(size=number), "b": RNG.normal(size=number)})
    table["label"] = ["no", "yes"] * (number // 2)
    return table.assign(**columns)


def fix(dataset, split: str, index: int, action: str, group: str = "") -> Fix:
    part = dataset.split(split)
    content = written_id(int(part.ids[index]))
    return Fix(part.samples.name(index), content, action, group, "why")


def side_of(dataset, name: str) -> str | None:
    for split in ("train", "val", "test"):
        samples = dataset.split(split).samples
        if name in [samples.name(i) for i in range(len(samples))]:
            return split
    return None


def together(*spots) -> Audited:
    return Audited(Finding("near copies", "warning", (), "Nearly the same."), together=[spots])


# Reading and writing ------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path):
    rows = [
        Fix("a, b.png", "00", "leave out", "", 'why "so"'),
        Fix("caf\udce9.png", "01", "train", "1", "group"),
        Fix("row 3", "", "look"),
    ]
    write_fixes(tmp_path / "f.csv", rows)
    assert read_fixes("f.csv").rows == tuple(rows)
    assert b"caf\xe9.png" in (tmp_path / "f.csv").read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,what\nx,y\n", r"has no column 'sample', 'action' \(found: 'name', 'what'\)"),
        ("sample,action\nx,remove\n", r"line 2: action is 'remove'; expected one of 'leave out'"),
        ("sample,action\nx,tran\n", r"Did you mean 'train'"),
        ('sample,action,reason\nx,train,"so\nz,train,\n', r"is no list of fixes \(unexpected end"),
        ("sample,action\nx,train\nx,test\n", r"says both 'train' and 'test' of 'x'"),
    ],
)
def test_what_is_no_list_is_refused_by_line_and_value(text, said):
    Path("f.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        hs.load(frame(), fixes="f.csv")


def test_a_list_that_is_not_there_or_no_path_is_refused():
    with pytest.raises(DataError, match=r"'gone.csv' cannot be read \(No such file"):
        hs.load(frame(), fixes="gone.csv")
    with pytest.raises(OptionError, match="fixes is a list; expected the path"):
        hs.load(frame(), fixes=["f.csv"])


# Applied exactly ----------------------------------------------------------------------------------


def test_samples_are_left_out_and_the_rest_is_as_it_was():
    data = frame(split=["train"] * 60 + ["val"] * 20 + ["test"] * 20)
    plain = hs.load(data)
    write_fixes(Path("f.csv"), [fix(plain, "train", i, "leave out") for i in (3, 5, 8)])
    mended = hs.load(data, fixes="f.csv")
    kept = np.delete(np.arange(60), [3, 5, 8])
    assert np.array_equal(mended.train.ids, plain.train.ids[kept])
    assert np.array_equal(mended.train.targets, plain.train.targets[kept])
    assert np.array_equal(mended.val.ids, plain.val.ids)
    assert np.array_equal(mended.test.ids, plain.test.ids)
    assert "3 rows left out." in " ".join(mended.notes)


@pytest.mark.parametrize("seed", [0, 1, 2, 7])
def test_sides_are_kept_whatever_the_draw(seed):
    data = frame()
    plain = hs.load(data)
    rows = [
        fix(plain, "train", 0, "train", "1"),
        fix(plain, "test", 0, "train", "1"),
        fix(plain, "test", 1, "test", "2"),
        fix(plain, "val", 1, "test", "2"),
        fix(plain, "val", 2, "val"),
    ]
    write_fixes(Path("f.csv"), rows)
    mended = hs.load(data, fixes="f.csv", seed=seed)
    assert [side_of(mended, row.sample) for row in rows] == [
        "train",
        "train",
        "test",
        "test",
        "val",
    ]
    assert len(mended.train) + len(mended.val) + len(mended.test) == 100


def test_a_sample_takes_its_group_of_the_data_and_its_copies_along():
    data = frame(who=[f"p{i // 4}" for i in range(100)])
    data.loc[41, ["a", "b"]] = data.loc[40, ["a", "b"]]
    plain = hs.load(data, group="who")
    first = next(i for i in range(len(plain.test)))
    name = plain.test.samples.name(first)
    number = int(name.split()[-1]) - 1
    write_fixes(Path("f.csv"), [fix(plain, "test", first, "train")])
    mended = hs.load(data, group="who", fixes="f.csv")
    others = [f"row {i + 1}" for i in range(100) if i // 4 == number // 4]
    assert {side_of(mended, other) for other in others} == {"train"}


def test_rows_in_another_order_and_renamed_files_are_found(tmp_path):
    data = frame()
    plain = hs.load(data)
    target = plain.train.samples.name(4)
    value = data.loc[int(target.split()[-1]) - 1, "a"]
    write_fixes(Path("f.csv"), [fix(plain, "train", 4, "leave out")])
    turned = data.iloc[::-1].reset_index(drop=True)
    mended = hs.load(turned, fixes="f.csv")
    total = len(mended.train) + len(mended.val) + len(mended.test)
    assert total == 99
    left = np.concatenate(
        [mended.split(s).samples.table.column("a").to_numpy() for s in ("train", "val", "test")]
    )
    assert value not in left


def test_of_two_copies_the_named_one_goes():
    data = frame(split=["train"] * 60 + ["val"] * 20 + ["test"] * 20)
    data.loc[90, ["a", "b", "label"]] = data.loc[10, ["a", "b", "label"]]
    plain = hs.load(data)
    write_fixes(Path("f.csv"), [fix(plain, "train", 10, "leave out")])
    mended = hs.load(data, fixes="f.csv")
    assert side_of(mended, "row 11") is None
    assert side_of(mended, "row 91") == "test"


def test_what_is_gone_or_changed_is_said_and_the_rest_is_done():
    data = frame()
    plain = hs.load(data)
    rows = [fix(plain, "train", i, "leave out") for i in range(4)]
    write_fixes(Path("f.csv"), rows)
    data.loc[int(rows[0].sample.split()[-1]) - 1, "a"] = 99.0
    mended = hs.load(data, fixes="f.csv")
    found = next(f for f in mended.findings if "f.csv" in f.sentence)
    assert found.severity == "warning"
    assert found.items == (rows[0].sample,)
    assert "3 rows left out" in found.sentence
    assert "1 of its rows are not there as they were" in found.sentence
    assert side_of(mended, rows[0].sample) is not None


def test_a_list_for_other_data_is_refused():
    write_fixes(Path("f.csv"), [fix(hs.load(frame()), "train", i, "leave out") for i in range(4)])
    with pytest.raises(DataError, match=r"for other data: 0 of its 4 rows are in DataFrame"):
        hs.load(frame(), fixes="f.csv")


def test_a_list_written_by_hand_needs_names_and_actions_alone():
    data = frame()
    Path("f.csv").write_text("sample,action\nrow 7,Leave out\nrow 9,TEST\nrow 11,look\n")
    mended = hs.load(data, fixes="f.csv")
    assert [side_of(mended, f"row {i}") for i in (7, 9)] == [None, "test"]
    assert "1 to be looked at" in " ".join(mended.notes)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_what_a_spreadsheet_makes_of_a_list_is_read(mark):
    lines = ["Sample,Content,Action ,group,reason", "row 7,,leave out,,", ",,,,", "", ",,,,"]
    text = "\r\n".join(lines).replace(",", mark)
    Path("f.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert read_fixes("f.csv").rows == (Fix("row 7", "", "leave out"),)
    Path("f.csv").write_text("sample,content,action\nrow 7,00FF,look\n")
    assert read_fixes("f.csv").rows == (Fix("row 7", "00ff", "look"),)


def test_a_list_that_takes_train_a_class_is_refused():
    data = frame(40)
    write_fixes(Path("f.csv"), [Fix(f"row {i}", "", "test") for i in range(2, 41, 2)])
    with pytest.raises(DataError, match="leaves train of DataFrame without class 'yes'"):
        hs.load(data, fixes="f.csv")


def test_a_list_that_leaves_nothing_is_refused():
    data, names = frame(20), [f"row {i}" for i in range(1, 21)]
    write_fixes(Path("f.csv"), [Fix(name, "", "leave out") for name in names])
    with pytest.raises(DataError, match="leaves out all of DataFrame"):
        hs.load(data, fixes="f.csv")
    write_fixes(Path("f.csv"), [Fix(name, "", "train") for name in names])
    with pytest.raises(DataError, match="leaves val of DataFrame empty"):
        hs.load(data, fixes="f.csv")


# The policy ---------------------------------------------------------------------------------------


def actions(dataset, *found) -> dict[str, str]:
    return {row.sample: row.action for row in repairs(dataset, found)}


def test_test_of_the_data_stays_and_its_likes_leave():
    data = hs.load(frame(split=["train"] * 60 + ["val"] * 20 + ["test"] * 20))
    found = actions(
        data,
        together(Spot("test", 0), Spot("train", 1), Spot("val", 2)),
        together(Spot("val", 3), Spot("train", 4)),
        together(Spot("train", 5), Spot("train", 6)),
    )
    assert found == dict.fromkeys(["row 2", "row 63", "row 5"], "leave out")


def test_of_a_drawn_split_a_group_goes_where_most_of_it_stands():
    data = hs.load(frame())
    most_in_test = [Spot("test", 0), Spot("test", 1), Spot("train", 0)]
    tie = [Spot("test", 2), Spot("train", 1)]
    tie_without_train = [Spot("test", 3), Spot("val", 0)]
    one_side = [Spot("test", 4), Spot("test", 5)]
    found = actions(data, *(together(*g) for g in (most_in_test, tie, tie_without_train, one_side)))

    def sides(group):
        return {found[data.split(s.split).samples.name(s.index)] for s in group}

    assert [sides(g) for g in (most_in_test, tie, tie_without_train, one_side)] == [
        {"test"},
        {"train"},
        {"val"},
        {"test"},
    ]


def test_groups_of_several_audits_are_joined():
    data = hs.load(frame())
    chain = [Spot("train", 0), Spot("test", 0)], [Spot("test", 0), Spot("val", 0)]
    rows = repairs(data, [together(*chain[0]), together(*chain[1])])
    assert {row.action for row in rows} == {"train"}
    assert len(rows) == 3
    assert len({row.group for row in rows}) == 1


def test_suspects_are_left_out_where_the_audit_says_so_and_test_of_the_data_is_not():
    data = hs.load(frame(split=["train"] * 60 + ["val"] * 20 + ["test"] * 20))
    finding = Finding("near copies", "warning", (), "Nearly the same.")
    pairs = [
        Suspect(Spot("train", 1), "like another", beside=Spot("train", 0)),
        Suspect(Spot("test", 1), "like another", beside=Spot("test", 0)),
    ]
    found = actions(data, Audited(finding, pairs, leave_out=True))
    assert found == {"row 2": "leave out"}
    doubted = Audited(Finding("doubtful label", "warning", (), "?"), pairs)
    assert set(actions(data, doubted).values()) == {"look"}


def test_a_drawn_split_with_near_copies_is_mended_from_end_to_end():
    data = frame()
    plain = hs.load(data)
    groups = [together(Spot("test", i), Spot("train", i), Spot("val", i)) for i in range(5)]
    write_fixes(Path("f.csv"), repairs(plain, groups))
    mended = hs.load(data, fixes="f.csv")
    with open("f.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {side_of(mended, row["sample"]) for row in rows} == {"train"}
    assert "15 in train, where their likes are" in " ".join(mended.notes)
