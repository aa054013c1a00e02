"""The doctor: a real, short training run, and sentences for what it may find; and ``starts``."""

from __future__ import annotations

import doctest
from pathlib import Path
from types import ModuleType

import pytest
from clocks import ProcessorClock, set_clock

from headstart import events
from headstart.errors import OptionError
from headstart.recipes import doctor as doctor_module
from headstart.recipes import starts as starts_module
from headstart.recipes.doctor import Report, doctor


@pytest.fixture(scope="module")
def report() -> Report:
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, ProcessorClock())
        return doctor(seconds=3)


def test_training_run_learns_and_says_how_fast(report: Report) -> None:
    assert report.accuracy > 0.4  # a guess is right one time in ten
    assert report.images_per_second > 50
    assert report.num_passes >= 1


def test_report_names_versions_devices_and_data(report: Report) -> None:
    text = report.report()
    for word in ("torch", "timm", "cpu", "memory free", "digits-8x8", "not asked (--hub)"):
        assert word in text
    assert f"{report.images_per_second:,.0f} images/s on {report.device}" in text


def test_nothing_is_sent_to_a_network_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)
    doctor(seconds=0.1)


def test_unreachable_hub_is_a_problem_with_its_own_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens on this port
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    report = doctor(seconds=0.1, hub=True)
    assert report.exit_code == 1
    # a small or a full machine has problems of its own
    (said,) = [problem for problem in report.problems if "The model hub" in problem]
    assert "The model hub http://127.0.0.1:9 does not answer" in said
    assert "headstart starts" in said
    assert said in report.report()


def test_little_memory_disk_and_a_wrong_folder_are_problems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor_module, "free_memory_bytes", lambda: 2**29)
    monkeypatch.setattr(doctor_module, "MIN_FREE_BYTES", 2**60)
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "nowhere"))
    report = doctor(seconds=0.1)
    text = "\n".join(report.problems)
    assert "Only 536.9 MB of memory are free" in text
    assert "of disk are free at" in text
    assert f"HEADSTART_DATA names '{tmp_path / 'nowhere'}', which is no folder" in text


def test_training_that_does_not_learn_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "_train", lambda device, seconds: (900.0, 0.1, 50))
    report = doctor(seconds=0.1)
    assert report.exit_code == 1
    assert "reached 10.0% where about 97% is normal" in report.problems[-1]


@pytest.mark.parametrize("seconds", [0, -1, 601, float("nan")])
def test_seconds_out_of_range_are_refused(seconds: float) -> None:
    with pytest.raises(OptionError, match="out of range; expected more than 0"):
        doctor(seconds=seconds)


def test_progress_is_told_as_a_task_that_ends(processor_clock: ProcessorClock) -> None:
    tasks: list[dict[str, object]] = []

    def listener(kind: str, fields: dict[str, object]) -> None:
        if kind == "task":
            tasks.append(fields)

    with events.listen(listener):
        doctor(seconds=1.0)
    assert len(tasks) > 1
    assert tasks[-1]["done"] == tasks[-1]["total"]
    assert {"loss", "samples_per_second", "eta_seconds"} <= tasks[0].keys()


@pytest.mark.parametrize("module", [doctor_module, starts_module])
def test_examples_in_docstrings_run(module: ModuleType) -> None:
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0


def test_starts_that_match_nothing_are_an_empty_list_and_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert starts_module.starts(like="no-such-start") == []
    assert "No start matches 'no-such-start'" in capsys.readouterr().err
    assert any(start.address == "scratch/simple-cnn" for start in starts_module.starts())


def test_starts_are_listed_by_modality() -> None:
    from headstart.recipes.starts import starts

    texts, tables = starts(modality="text"), starts(modality="table")
    assert {start.modality for start in texts} == {"text"}
    assert [start.address for start in tables] == [
        f"scratch/{name}" for name in ("linear", "boosting", "forest", "lightgbm", "mlp")
    ]
    assert len(starts()) > len(texts) + len(tables)


def test_every_extra_that_a_user_installs_is_looked_at(report: Report) -> None:
    written = Path(__file__).parent.parent.joinpath("pyproject.toml").read_text("utf-8")
    part = written.split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = {line.split(" = ")[0] for line in part.splitlines() if " = [" in line}
    rows = dict(report.sections)["Extras"]
    assert {name for name, _ in rows} == extras - {"bench", "browser", "clients", "dev", "docs"}
