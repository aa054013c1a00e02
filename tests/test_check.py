"""``headstart check``: what it finds, says, writes and hands on, through the command line."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.auditing import audits, running
from headstart.auditing.audit import Audit, Audited, Spot, Suspect
from headstart.auditing.doubtful_labels import DOUBTFUL_LABELS
from headstart.cli import main
from headstart.errors import DataError, Interrupted, OptionError, RunFolderError
from headstart.events import listen
from headstart.recipes.audited import with_audits
from headstart.recipes.late_audits import with_late_audits
from headstart.reporting.check_text import render_check_text
from headstart.tuning.budget import Budget
from headstart.types import Finding

WORDS = [f"word{i}" for i in range(400)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    # the others need a network and seconds; they have tests of their own, and one here
    cheap = {name: audit for name, audit in audits.AUDITS.items() if not audit.has_features}
    for module in (audits, running):
        monkeypatch.setattr(module, "AUDITS", cheap)


def picture(path: Path, rng, dark: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels // 3 if dark else pixels).resize((40, 30)).save(path)


def photos(root: Path, splits=(("train", 14), ("test", 8))) -> Path:
    """Write photographs of cats and dogs, each its own."""
    rng = np.random.default_rng(3)
    for split, number in splits:
        for name in ("cat", "dog"):
            for i in range(number):
                picture(root / split / name / f"{split}{i}.png", rng, name == "dog")
    return root


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def sentences(number: int, rng) -> list[tuple[str, str]]:
    return [
        (" ".join(rng.choice(WORDS, 9)) + (" grand" if i % 2 else " awful"), "np"[i % 2])
        for i in range(number)
    ]


def write_csv(path: Path, head, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def reviews(root: Path) -> Path:
    """Write texts in two files, three of the test file also in the train file."""
    rng = np.random.default_rng(5)
    train, test = sentences(80, rng), sentences(30, rng)
    test[:3] = [(text.upper(), label) for text, label in train[:3]]
    write_csv(root / "train.csv", ["text", "label"], train)
    write_csv(root / "test.csv", ["text", "label"], test)
    return root


def patients(path: Path, leaks: int = 3) -> Path:
    """Write rows with a column of splits, some of test the same as some of train."""
    rng = np.random.default_rng(7)
    rows = [
        [
            round(rng.normal() + i % 2, 4),
            round(rng.normal(), 4),
            round(rng.normal(), 4),
            "ny"[i % 2],
        ]
        for i in range(160)
    ]
    for i in range(leaks):
        rows[130 + i] = rows[i]
    numbered = [[i, *row, "test" if i >= 130 else "train"] for i, row in enumerate(rows)]
    return write_csv(path, ["id", "a", "b", "c", "label", "split"], numbered)


def listed(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def rewrite(path, rows) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


# Exit codes and the round trip --------------------------------------------------------------------


def planted(kind: str, root: Path) -> tuple[str, int]:
    """Return data of a kind in which test asks for what train holds, and how often."""
    if kind == "image":
        folder = photos(root / "photos")
        for i in (1, 2):
            copy(folder / f"test/cat/test{i}.png", folder / f"train/cat/again{i}.png")
        copy(folder / "test/dog/test3.png", folder / "train/dog/other name.png")
        return str(folder), 3
    if kind == "text":
        return str(reviews(root / "reviews")), 3
    return str(patients(root / "patients.csv")), 3


@pytest.mark.parametrize("kind", ["image", "text", "table"])
def test_a_leak_ends_with_1_and_the_list_that_fit_takes_mends_it(kind, tmp_path, capsys):
    data, number = planted(kind, tmp_path)
    before = {path: path.read_bytes() for path in Path(data).rglob("*") if path.is_file()}
    assert main(["check", data, "--fix", "fixes.csv"]) == 1
    shown, told = capsys.readouterr()
    assert Path(data).name in shown
    assert "ERROR" in shown
    assert "are also in train" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert told.splitlines()[-1] == f"next: headstart fit {data} --fixes fixes.csv --budget 30m"
    rows = listed("fixes.csv")
    assert [row["action"] for row in rows] == ["leave out"] * number
    assert all("train" in row["reason"] or "val" in row["reason"] for row in rows)
    assert {p: p.read_bytes() for p in Path(data).rglob("*") if p.is_file()} == before

    plain, mended = hs.load(data), hs.load(data, fixes="fixes.csv")
    assert len(mended.test) == len(plain.test)
    names = [mended.train.samples.name(i) for i in range(len(mended.train))]
    assert not {row["sample"] for row in rows} & set(names)
    assert mended.fingerprint != plain.fingerprint
    assert any(f"{number} " in note and "left out" in note for note in mended.notes)

    assert main(["check", data, "--fixes", "fixes.csv"]) == 0
    assert "No leak was found." in capsys.readouterr()[0]


def nearly(kind: str, root: Path, split: bool) -> str:
    """Return data in which three samples stand again, a little changed, on another side."""
    rng = np.random.default_rng(11)
    if kind == "image":
        folder = root / "scenes"
        for i in range(40):
            grain = rng.integers(0, 255, (45, 60, 3), dtype=np.uint8)
            scene = Image.fromarray(grain).resize((120, 90))
            side = ("test/" if i >= 30 else "train/") if split else ""
            path = folder / f"{side}{'cd'[i % 2]}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            scene.save(path)
            if i in (31, 33, 35):
                scene.resize((100, 75)).save(folder / f"{'train/' if split else ''}d/again{i}.png")
        return str(folder)
    if kind == "text":
        rows = [[" ".join(rng.choice(WORDS, 30)), "np"[i % 2], ""] for i in range(100)]
        for i in range(3):
            rows[90 + i][0] = rows[i][0] + " indeed"
            rows[90 + i][1] = rows[i][1]
    else:
        rows = [[*np.round(rng.normal(size=4), 4), "ny"[i % 2], ""] for i in range(100)]
        for i in range(3):
            rows[90 + i] = [*rows[i][:3], round(rng.normal(), 4), rows[i][4], ""]
    for i, row in enumerate(rows):
        row[-1] = "test" if i >= 80 else "train"
    head = ["text", "label"] if kind == "text" else ["a", "b", "c", "d", "label"]
    if not split:
        rows = [row[:-1] for row in rows]
    return str(write_csv(root / f"{kind}.csv", [*head, "split"] if split else head, rows))


@pytest.mark.parametrize("kind", ["image", "text", "table"])
@pytest.mark.parametrize("split", [True, False], ids=["brought", "drawn"])
def test_near_copies_are_put_on_one_side(kind, split, tmp_path, capsys):
    data = nearly(kind, tmp_path, split)
    code = main(["check", data, "--fix", "near.csv"])
    rows = listed("near.csv")
    if split:
        assert code == 1
        assert [row["action"] for row in rows] == ["leave out"] * 3
    else:
        assert sorted({row["group"] for row in rows}) == ["1", "2", "3"]
        assert len(rows) == 6
    for seed in ("0", "1"):
        capsys.readouterr()
        assert main(["check", data, "--fixes", "near.csv", "--seed", seed]) == 0
        record = json.loads((Path("checks") / Path(data).stem / "check.json").read_text())
        assert "leak" not in [found["kind"] for found in record["findings"]]


def test_clean_data_ends_with_0_and_names_fit(tmp_path, capsys):
    data = str(photos(tmp_path / "photos"))
    assert main(["check", data]) == 0
    shown, told = capsys.readouterr()
    assert "No leak was found." in shown
    assert told.splitlines()[-1] == f"next: headstart fit {data} --budget 30m"


def test_one_leaked_sample_of_many_is_enough(tmp_path):
    path = patients(tmp_path / "one.csv", leaks=1)
    rows = listed(path) * 1
    rng = np.random.default_rng(1)
    more = [
        {**rows[0], "id": str(1000 + i), "a": str(rng.normal()), "b": str(i), "split": "test"}
        for i in range(150)
    ]
    rewrite(path, rows + more)
    checked = hs.check(str(path))
    leak = next(f for f in checked.findings if f.kind == "leak")
    assert "1 of 180 test rows" in leak.sentence  # below one per cent: load only warns
    assert leak.severity == "error"
    assert checked.exit_code == 1
    assert [f.severity for f in hs.load(str(path)).findings if f.kind == "leak"] == ["warning"]


# What is written ----------------------------------------------------------------------------------


def test_json_holds_every_suspect_and_every_audit(tmp_path):
    data, number = planted("image", tmp_path)
    checked = hs.check(data, out="kept", skip=["classes"])
    record = json.loads(Path("kept/check.json").read_text())
    assert record == json.loads(json.dumps(checked.record))
    leak = record["findings"][0]
    assert (leak["audit"], leak["kind"], leak["severity"]) == ("copies", "leak", "error")
    assert len(leak["suspects"]) == number
    first = leak["suspects"][0]
    assert first["sample"]["split"] == "test"
    assert first["beside"]["split"] == "train"
    assert first["sample"]["label"] == "cat"
    assert first["certainty"] == 1.0
    assert {tuple(sorted(s["split"] for s in group)) for group in leak["together"]} == {
        ("test", "train")
    }
    by_name = {audit["name"]: audit for audit in record["audits"]}
    assert by_name.keys() == audits.AUDITS.keys()
    assert by_name["classes"]["why_not"] == "skipped, as was asked"
    assert by_name["lengths"]["why_not"] == "it means nothing for these data"
    assert by_name["copies"]["why_not"] == ""
    assert by_name["copies"]["seconds"] >= 0
    assert sum(record["class_counts"]["train"]) == record["data"]["counts"]["train"]
    assert [f["kind"] for f in record["findings"]].count("leak") == 1  # of load and audit, once


def test_the_page_shows_pictures_side_by_side_and_asks_for_nothing(tmp_path):
    data, number = planted("image", tmp_path)
    page = (hs.check(data).path / "check.html").read_text()
    assert page.count('src="data:image/') >= 2 * number
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert "test/cat/test1.png" in page
    assert "train/cat/again1.png" in page


@pytest.mark.parametrize("kind", ["text", "table"])
def test_the_page_shows_texts_and_rows_and_escapes_them(kind, tmp_path):
    data, _ = planted(kind, tmp_path)
    if kind == "text":
        for name in ("train.csv", "test.csv"):
            rows = listed(Path(data) / name)
            rows[0]["text"] = rows[0]["text"].lower() + " <b>bold</b>"
            rewrite(Path(data) / name, rows)
    page = (hs.check(data).path / "check.html").read_text()
    assert "<b>bold</b>" not in page
    assert ("&lt;b&gt;bold" if kind == "text" else '<div class="cells">') in page


def test_names_that_are_not_utf8_break_nothing(tmp_path, capsys):
    folder = photos(tmp_path / "photos")
    odd = os.fsdecode(b"caf\xe9.png")
    copy(folder / "test/cat/test1.png", folder / "train/cat" / odd)
    assert main(["check", str(folder), "--fix", "odd.csv"]) == 1
    assert b"caf\\xe9" in Path("odd.csv").read_bytes()
    assert main(["check", str(folder), "--fixes", "odd.csv"]) == 0


# What fit would refuse ----------------------------------------------------------------------------


def one_class(root: Path) -> str:
    rng = np.random.default_rng(0)
    for i in range(12):
        picture(root / "one" / "cat" / f"{i}.png", rng, False)
    return str(root / "one")


def many_broken(root: Path) -> str:
    folder = photos(root / "broken", (("", 12),))
    for i in range(4):
        (folder / "dog" / f"{i}.png").write_bytes(b"nothing")
    return str(folder)


def unknown_class(root: Path) -> str:
    folder = photos(root / "unseen")
    picture(folder / "test/bird/b.png", np.random.default_rng(9), False)
    return str(folder)


def constant_columns(root: Path) -> str:
    return str(
        write_csv(root / "c.csv", ["a", "b", "label"], [[1, "x", "yn"[i % 2]] for i in range(30)])
    )


def no_train(root: Path) -> str:
    rows = [[i * 1.5, i % 7, "yn"[i % 2], "test"] for i in range(30)]
    return str(write_csv(root / "t.csv", ["a", "b", "label", "split"], rows))


REFUSED = [
    (one_class, "has one class only"),
    (many_broken, "more than the limit"),
    (unknown_class, "but not in train"),
    (constant_columns, "none whose values differ"),
    (no_train, "nothing to learn from"),
]


@pytest.mark.parametrize(("make", "said"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_what_fit_refuses_is_a_finding_and_not_the_end(make, said, tmp_path, capsys):
    data = make(tmp_path)
    with pytest.raises(DataError, match=said):
        hs.load(data)
    assert main(["check", data]) == 1
    shown = " ".join(capsys.readouterr()[0].split())
    assert said in shown
    assert "A training would be refused." in shown
    record = json.loads((Path("checks") / Path(data).stem / "check.json").read_text())
    assert record["verdict"] == "refused"
    assert sum(said in f["sentence"] for f in record["findings"]) == 1


def test_groups_that_the_data_tears_are_a_leak_that_the_list_mends(tmp_path):
    rng = np.random.default_rng(2)
    rows = [
        [rng.normal(), rng.normal(), f"p{i % 40}", "test" if i % 40 < 8 else "train", "yn"[i % 2]]
        for i in range(160)
    ]
    rows[3][3] = rows[44][3] = "train"  # of patients p3 and p4, whose others are in test
    path = str(write_csv(tmp_path / "torn.csv", ["a", "b", "who", "split", "label"], rows))
    with pytest.raises(DataError, match=r"Group 'p3' is in both.*check --fix"):
        hs.load(path, group="who")
    checked = hs.check(partial(hs.load, path, group="who"), fix="torn-fixes.csv")
    assert [f.kind for f in checked.findings if f.severity == "error"] == ["group"]
    assert checked.exit_code == 1
    assert {row["sample"] for row in listed("torn-fixes.csv")} == {"row 4", "row 45"}
    mended = hs.load(path, group="who", fixes="torn-fixes.csv")
    assert len(mended.test) == 30
    assert hs.check(mended).exit_code == 0


def test_a_path_that_is_not_there_ends_as_everywhere(capsys):
    assert main(["check", "nowhere"]) == 3
    assert "does not exist" in capsys.readouterr()[1]
    assert not Path("checks").exists()


def test_options_are_refused_before_anything_is_read(tmp_path, capsys):
    data = str(photos(tmp_path / "photos"))
    assert main(["check", data, "--skip", "copie"]) == 2
    assert "Did you mean 'copies'?" in capsys.readouterr()[1]
    assert main(["check", data, "--budget", "soon"]) == 2
    Path("mine.csv").write_text("sample,action\n")
    assert main(["check", data, "--fix", "mine.csv"]) == 5
    assert "--overwrite" in capsys.readouterr()[1]
    assert main(["check", data, "--fix", "mine.csv", "--overwrite"]) == 0
    Path("rows.csv").write_text("a,label\n1,x\n")
    assert main(["check", "rows.csv", "--fix", "rows.csv", "--overwrite"]) == 5
    assert Path("rows.csv").read_text() == "a,label\n1,x\n"
    assert main(["check", data, "--fix", str(tmp_path)]) == 2
    with pytest.raises(OptionError, match=r"check\(\) takes no 'label'"):
        hs.check(data, label="x")


# Data in memory, folders that cannot be written, Ctrl-C -------------------------------------------


def test_a_dataset_and_a_frame_in_memory_are_checked(tmp_path):
    frame = pd.read_csv(patients(tmp_path / "p.csv"))
    checked = hs.check(frame, fix="memory.csv")
    assert checked.exit_code == 1
    assert checked.path == Path("checks/DataFrame")
    mended = hs.load(frame, fixes="memory.csv")
    again = hs.check(mended)
    assert again.exit_code == 0
    assert "No leak was found." in again.report()


def test_a_folder_that_cannot_be_written_is_refused_or_done_without(tmp_path, capsys):
    data = str(photos(tmp_path / "photos"))
    Path("file").write_text("")
    assert main(["check", data, "--out", "file/inside"]) == 5
    assert "cannot be written" in capsys.readouterr()[1]
    Path("checks").write_text("in the way")
    checked = hs.check(data)
    assert checked.path is None
    assert checked.exit_code == 0
    with pytest.raises(RunFolderError, match="cannot be written"):
        hs.check(data, fix="file/fixes.csv")


def test_a_folder_that_cannot_be_written_is_refused_before_minutes_are_spent(tmp_path):
    data = str(photos(tmp_path / "photos"))
    (tmp_path / "a file").write_text("")
    for out in (tmp_path / "a file" / "out", Path("/proc/out")):
        with pytest.raises(RunFolderError, match="cannot be written"):
            hs.check(data, out=str(out))


def press_ctrl_c(dataset, tools):
    raise KeyboardInterrupt


def test_ctrl_c_keeps_what_was_found(tmp_path, monkeypatch, capsys):
    data, number = planted("image", tmp_path)
    pressed = Audit("pressed", "Does anyone press Ctrl-C?", lambda dataset: True, press_ctrl_c)
    table = {
        "copies": audits.AUDITS["copies"],
        "pressed": pressed,
        "classes": audits.AUDITS["classes"],
    }
    monkeypatch.setattr(running, "AUDITS", table)
    with pytest.raises(Interrupted, match=r"what was found until then stands in checks.photos"):
        hs.check(data)
    record = json.loads(Path("checks/photos/check.json").read_text())
    assert record["is_interrupted"]
    assert record["verdict"] == "leak"
    assert len(record["findings"][0]["suspects"]) == number
    assert [a["why_not"] for a in record["audits"]] == ["", "interrupted", "interrupted"]
    assert main(["check", data]) == 130


def test_each_audit_has_its_time_and_says_when_it_was_up(tmp_path, monkeypatch, heard):
    seen = []

    def slow(dataset, tools):
        seen.append(tools.is_over())
        return [Audited(Finding("size", "note", (), "Looked at 1 of 2."))]

    table = {
        name: Audit(name, "How far?", lambda dataset: True, slow) for name in ("first", "second")
    }
    monkeypatch.setattr(running, "AUDITS", table)
    ticks = iter(range(0, 1000, 4))
    data = hs.load(str(photos(tmp_path / "photos")))
    results = running.run_audits(
        data, running.AuditTools(), seconds=10, why_not={}, clock=lambda: float(next(ticks))
    )
    assert seen == [True, True]
    assert [ran.stopped for ran in results.ran] == [True, True]
    record = hs.check(data, out=str(tmp_path / "out"), budget="60s").record
    said = "its time was up before it came to its end; give a --budget"
    assert said not in " ".join(render_check_text(record).split())  # with a budget, as advised
    short = {**record, "audits": [{**row, "stopped": True} for row in record["audits"]]}
    told = " ".join(render_check_text(short).split())
    assert said in told
    heard(told)


# Doubtful labels are for a person -----------------------------------------------------------------


def doubt(dataset, tools):
    spot = Spot("train", 0)
    finding = Finding("doubtful label", "warning", (), "1 label looks wrong.")
    return [Audited(finding, [Suspect(spot, "given 'cat', looks like 'dog' (0.93)", 0.93)])]


def test_a_doubtful_label_is_listed_and_left_out_only_if_a_person_says_so(tmp_path, monkeypatch):
    data = str(photos(tmp_path / "photos"))
    table = {"doubt": Audit("doubt", "Which labels look wrong?", lambda dataset: True, doubt)}
    monkeypatch.setattr(running, "AUDITS", table)
    hs.check(data, fix="look.csv")
    rows = listed("look.csv")
    assert [row["action"] for row in rows] == ["look"]
    plain = hs.load(data)
    assert hs.load(data, fixes="look.csv").fingerprint == plain.fingerprint
    rewrite("look.csv", [{**row, "action": "leave out"} for row in rows])
    assert len(hs.load(data, fixes="look.csv").train) == len(plain.train) - 1


def test_audits_that_read_features_are_given_those_of_a_start(tmp_path, monkeypatch):
    data = str(patients(tmp_path / "p.csv", leaks=0))
    seen = []

    def look(dataset, tools):
        seen.append((tools.start, tools.features("train").shape))
        return []

    audit = Audit("probe", "What do features say?", lambda d: True, look, has_features=True)
    for module in (audits, running):
        monkeypatch.setattr(module, "AUDITS", {"probe": audit})
    hs.check(data)
    ((start, shape),) = seen
    assert start == "scratch/linear"
    assert shape[0] == len(hs.load(data).train)
    hs.check(data, skip=["probe"])
    assert len(seen) == 1


# The command line ---------------------------------------------------------------------------------


def test_help_imports_no_torch_and_states_its_options():
    lines = (
        "import sys; from headstart.cli import main; main(['check', '--help']); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for option in ("--fix", "--skip", "--budget", "--seed", "--label", "--fixes", "--out"):
        assert option in done.stdout


def test_the_next_command_keeps_the_options_of_reading(tmp_path, capsys):
    rows = [[i * 0.5, i % 5, "yn"[i % 2]] for i in range(60)]
    path = str(write_csv(tmp_path / "my rows.csv", ["a", "b", "what is it"], rows))
    assert main(["check", path, "--label", "what is it", "--drop", "b"]) == 0
    said = capsys.readouterr()[1].splitlines()[-1]
    assert said == f"next: headstart fit '{path}' --label 'what is it' --drop b --budget 30m"


# Within a run -------------------------------------------------------------------------------------


def seen_by_runs(dataset, tools):
    return [Audited(Finding("near copies", "warning", ["a"], "2 texts are nearly the same."))]


def test_a_run_audits_its_data_once_and_keeps_what_it_found(tmp_path, monkeypatch):
    data, _ = planted("text", tmp_path)
    main(["check", data, "--fix", "fixes.csv"])
    asked = []

    def told(dataset, tools):
        asked.append(len(dataset.train))
        return seen_by_runs(dataset, tools)

    def probed(dataset, tools):
        asked.append(tools.features("test").shape[0])
        return []

    features = Audit("probe", "What do features say?", lambda d: True, probed, has_features=True)
    table = {**audits.AUDITS, "near": Audit("near", "What?", lambda d: True, told)}
    for module in (audits, running):
        monkeypatch.setattr(module, "AUDITS", {**table, "probe": features})
    loaded = hs.load(data, fixes="fixes.csv")
    run = hs.finetune(loaded, start="scratch/tfidf", budget="60s", out="run", device="cpu")
    assert asked == [len(loaded.train), len(loaded.test)]
    kinds = [found["kind"] for found in run.data["findings"]]
    assert kinds.count("near copies") == 1
    assert "classes" in kinds
    assert "leak" not in kinds
    assert kinds.count("copies") <= 1
    assert run.data["source"]["fixes"] == str(Path("fixes.csv").absolute())
    assert run.data["fingerprint"] == loaded.fingerprint
    assert "2 texts are nearly the same." in str(run.report())
    assert "2 texts are nearly the same." in (Path("run") / "report.html").read_text()
    assert hs.evaluate("run").metrics["test"]["num_items"] == 30
    rewrite("fixes.csv", listed("fixes.csv")[:1])
    with pytest.raises(DataError, match="has changed since"):
        hs.evaluate("run")


class Settling:
    """Stands in for a session whose decisions are all made anew."""

    def __init__(self) -> None:
        self.decisions, self.names, self.near_copies = self, [], []
        self.late_audits, self.untold = [], []

    def settle(self, name, decide):
        self.names.append(name)
        return decide().value


def test_slow_audits_wait_until_a_search_has_chosen_and_hopeless_ones_are_not_begun(monkeypatch):
    called = []

    def run(name):
        def audited(dataset, tools):
            called.append((name, tools.is_over()))
            return seen_by_runs(dataset, tools)

        return audited

    each = {"slow": 1e-3, "quick": 1e-6, "hopeless": 1.0}  # seconds, of 1,797 samples
    table = {
        name: Audit(name, "?", lambda d: True, run(name), seconds_per_sample=seconds)
        for name, seconds in each.items()
    }
    for module in (audits, running):
        monkeypatch.setattr(module, "AUDITS", table)
    data, current = hs.load("digits-8x8"), Settling()
    budget = Budget(600.0, 0.0)
    before = with_audits(current, data, budget, 0, "quick")
    assert called == [("quick", False)]
    after = with_audits(current, before, budget, 0, "slow")
    assert called[1:] == [("slow", False), ("hopeless", True)]
    # what had no time is not told yet: there may be some at the end
    assert len(after.findings) == len(before.findings) + 1 == len(data.findings) + 2
    assert current.late_audits == ["hopeless"]
    assert [name for name in current.names if " " not in name] == ["audits"]
    del table["slow"], table["hopeless"]
    assert with_audits(current, data, budget, 0, "slow") is data
    assert len(with_audits(current, data, budget, 0).findings) == len(data.findings) + 1


@pytest.mark.parametrize(
    ("limit", "reserve", "is_made"),
    [(600.0, 60.0, True), (600.0, 595.0, False), (100.0, 0.0, False), (None, 0.0, False)],
    ids=["time is left", "the end needs it", "a share of less is too little", "nobody asked"],
)
def test_an_audit_without_time_is_made_from_what_training_left(
    monkeypatch, limit, reserve, is_made
):
    def run(dataset, tools):
        if tools.is_over():
            return [Audited(Finding("near copies", "warning", (), "There was no time."))]
        return [
            Audited(
                Finding("leak", "error", ["7"], "7 stands in train and in test."),
                together=[(Spot("train", 7), Spot("test", 1))],
            )
        ]

    # 36 s for 1,797 samples: more than a share of ten minutes is, and less than is left of them
    row = Audit("long", "?", lambda d: True, run, finds_copies=True, seconds_per_sample=0.02)
    table = {"long": row}
    for module in (audits, running):
        monkeypatch.setattr(module, "AUDITS", table)
    data, current, told = hs.load("digits-8x8"), Settling(), []
    budget = Budget(limit, 0.0)
    with listen(lambda kind, f: told.append(f["text"]) if kind == "note" else None):
        before = with_audits(current, data, budget, 0)
        assert before.findings == data.findings
        assert told == []
        after = with_late_audits(current, before, budget, 0, reserve)
    (found,) = after.findings[len(data.findings) :]
    assert found.kind == ("leak" if is_made else "near copies")
    assert told == [found.sentence]  # once
    assert [len(copies) for copies in current.near_copies] == [1] * is_made
    assert with_late_audits(current, after, budget, 0, reserve).findings == after.findings


def test_a_leak_that_is_found_after_training_is_told_as_one_found_before(monkeypatch):
    asked = []

    def late(dataset, tools):
        asked.append(tools.is_over())
        if len(asked) == 1:
            return [Audited(Finding("near copies", "warning", (), "There was no time."))]
        pairs = [Suspect(Spot("test", 1), "nearly train 7", beside=Spot("train", 7))]
        return [Audited(Finding("leak", "error", ["7"], "7 stands in train and in test."), pairs)]

    # 8.8 s for 1,797 samples: two minutes give audits 3.6 s, and the training leaves more
    table = {"late": Audit("late", "?", lambda d: True, late, seconds_per_sample=0.0049)}
    for module in (audits, running):
        monkeypatch.setattr(module, "AUDITS", table)
    run = hs.finetune("digits-8x8", start="scratch/pixels", budget="2m", out="run", device="cpu")
    assert asked == [True, False]
    kept = [found["sentence"] for found in run.data["findings"]]
    assert "7 stands in train and in test." in kept
    assert "There was no time." not in kept
    said = str(run.report())
    assert "7 stands in train and in test." in said


def test_an_interrupted_run_goes_on_with_its_list_and_with_no_other(tmp_path, monkeypatch):
    data, _ = planted("table", tmp_path)
    main(["check", data, "--fix", "fixes.csv"])
    words = ["finetune", data, "--fixes", "fixes.csv", "--start", "scratch/mlp", "--device", "cpu"]
    monkeypatch.setattr("headstart.training.loop._TELL_SECONDS", 0.0)

    def stop(kind, fields):
        if kind == "task" and fields["name"] == "fine-tune" and fields["done"] > 3:
            os.kill(os.getpid(), signal.SIGINT)

    words += ["--out", "run", "--num-steps", "60"]
    with listen(stop):
        assert main(words) == 130
    kept = Path("fixes.csv").read_text()
    rewrite("fixes.csv", listed("fixes.csv")[:2])
    assert main([*words, "--resume"]) == 5  # the data is not the same with another list
    Path("fixes.csv").write_text(kept)
    assert main([*words, "--resume"]) == 0
    record = json.loads(Path("run/data.json").read_text())
    assert record["fingerprint"] == hs.load(data, fixes="fixes.csv").fingerprint
    assert [f["kind"] for f in record["findings"]].count("classes") == 1


def test_a_run_with_another_list_is_not_the_same_run(tmp_path):
    data, _ = planted("table", tmp_path)
    main(["check", data, "--fix", "fixes.csv"])
    out = ["--out", "run", "--budget", "60s", "--start", "scratch/linear", "--device", "cpu"]
    assert main(["finetune", data, "--fixes", "fixes.csv", *out]) == 0
    again = io.StringIO()
    assert main(["finetune", "--from", "run", "--out", "again"]) == 0, again.getvalue()
    kept = [json.loads(Path(name, "data.json").read_text()) for name in ("run", "again")]
    assert kept[0]["fingerprint"] == kept[1]["fingerprint"] != hs.load(data).fingerprint


def test_an_audit_whose_package_is_missing_is_said_first_and_not_counted(
    monkeypatch, capsys, heard
):
    monkeypatch.setattr("headstart.auditing.doubtful_labels.find_spec", lambda name: None)
    for module in (audits, running):
        monkeypatch.setattr(module, "AUDITS", {**audits.AUDITS, "doubtful labels": DOUBTFUL_LABELS})
    checked = hs.check("digits-8x8", out=None, skip=["near-images"])
    told = capsys.readouterr().err
    assert told.index("cleanlab is missing") < told.index("Checking the data")
    ran = {row["name"]: row for row in checked.record["audits"]}
    assert "install 'headstart[check]'" in ran["doubtful labels"]["why_not"]
    number = sum(not row["why_not"] for row in checked.record["audits"])
    assert f" {number} audits in " in " ".join(checked.report().split())
    assert "not run  doubtful labels: " in checked.report()
    hs.check("digits-8x8", skip=["near-images", "doubtful-labels"])
    assert "cleanlab" not in capsys.readouterr().err
    heard(ran["doubtful labels"]["why_not"])


def test_no_leak_is_not_said_above_a_warning_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    texts = [" ".join(f"w{w}" for w in draw.integers(0, 400, 12)) for _ in range(120)]
    rows = [(t, "ab"[i % 2], ("train", "val", "test")[i // 40]) for i, t in enumerate(texts)]
    rows += [(texts[i], "ab"[i % 2], "val") for i in range(4)]
    pd.DataFrame(rows, columns=["text", "label", "split"]).to_csv("rows.csv", index=False)
    checked = hs.check("rows.csv", out="out")
    assert checked.exit_code == 0
    assert any(f.kind == "leak" and f.severity == "warning" for f in checked.findings)
    assert "No leak was found" not in checked.report()
    assert "see the warnings of leaks" in " ".join(checked.report().split())
