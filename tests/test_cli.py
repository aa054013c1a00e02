"""The command line against small stand-in verbs, and the real one in a subprocess."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from clocks import StillClock

from headstart import cli, events, printing
from headstart.commands import read_command, read_kind
from headstart.errors import DataError, OptionError
from headstart.types import Prediction, Start

if TYPE_CHECKING:
    from torch import nn

    from headstart.types import Dataset

CALLS: list[dict[str, object]] = []
Data = object


class Run:
    path = Path("runs/mine")

    def report(self) -> str:
        return "accuracy 0.98 ± 0.01"


def load(
    source: str,
    *,
    label: str | None = None,
    val_fraction: float = 0.15,
    seed: int = 0,
) -> str:
    """Load.

    Args:
        source: Where.
        label: Target column.
        val_fraction: Share of train, in (0, 1).
        seed: Of the split.
    """
    CALLS.append({"load": source, "label": label, "val_fraction": val_fraction, "seed": seed})
    return f"loaded {source}"


def fit(
    data: Data,
    *,
    budget: str | float | None = None,
    out: str | Path | None = None,
    strategy: Literal["head", "last-n", "lp-ft", "full"] = "lp-ft",
    epochs: int | Literal["auto"] = "auto",
    learning_rate: float | None = None,
    starts: Sequence[str] | None = None,
    model: nn.Module | None = None,
    ema: bool = False,
    mirror: bool = True,
    seed: int = 0,
    resume: bool = False,
) -> Run:
    """Fit a model inside a budget.

    The long description has ``code`` in it.

    Args:
        data: Folder, table or name.
        budget: Hard wall-clock limit, such as 90s, 30m or 2h.
        out: Run folder.
        strategy: Which parameters learn.
        epochs: Passes over train.
        learning_rate: Peak, per step.
        starts: Candidates.
        model: Your own network.
        ema: Average the weights.
        mirror: Mirror images.
        seed: Reaches everything.
        resume: Go on.
    """
    data = data()  # the command line hands over what loads, so that options are checked first
    CALLS.append({name: value for name, value in locals().items() if value is not None})
    CALLS[-1]["spent"] = events.seconds_since_command_began()
    events.emit("stage", text="working")
    events.emit("next", command="headstart predict runs/mine photo.jpg")
    return Run()


def evaluate(run: str | Path, data: Data | None = None, *, start: str) -> None:
    """Evaluate.

    Args:
        run: Run folder.
        data: Other data.
        start: A needed option.
    """
    CALLS.append({"run": run, "data": data, "start": start})


def predict(run: str | Path, files: Sequence[str | Path], *, top: int = 1) -> list[Prediction]:
    """Predict.

    Args:
        run: Run folder.
        files: What to look at.
        top: How many.
    """
    return [Prediction(str(name), "cat", 0.75, (0.75, 0.25)) for name in files]


def starts() -> list[Start]:
    """List starts."""
    start = Start("scratch/x", "convnet", "image", 1_500_000, "none", None, None, None, True)
    return [start]


FAILURES: dict[str, BaseException] = {
    "data": DataError("No image in photos/ (expected .jpg). Give another folder."),
    "bug": ZeroDivisionError("division by zero"),
    "interrupt": KeyboardInterrupt(),
    "full": OSError(errno.ENOSPC, "No space left on device", "runs/x/model.json"),
    "denied": PermissionError(errno.EACCES, "Permission denied", "runs/x"),
}


def fail(how: str) -> None:
    """Fail.

    Args:
        how: Which way.
    """
    raise FAILURES[how]


VERBS = {name: (__name__, name) for name in ("fit", "evaluate", "predict", "starts", "fail")}


def run(*words: str) -> int:
    CALLS.clear()
    return cli.main(words, verbs=VERBS, load=(__name__, "load"))


def test_fit_passes_what_was_written_and_loads_with_the_shared_seed() -> None:
    line = "fit photos --budget=2m --out runs/a --epochs 3 --learning-rate 1e-3 --ema --no-mirror"
    assert run(*shlex.split(f"{line} --starts a,b c --label kind --seed 7")) == 0
    assert CALLS[0] == {"load": "photos", "label": "kind", "val_fraction": 0.15, "seed": 7}
    del CALLS[1]["spent"]
    assert CALLS[1] == {
        "data": "loaded photos",
        "budget": "2m",
        "out": "runs/a",
        "strategy": "lp-ft",
        "epochs": 3,
        "learning_rate": 1e-3,
        "starts": ["a", "b", "c"],
        "ema": True,
        "mirror": False,
        "seed": 7,
        "resume": False,
    }


def test_options_may_stand_before_the_argument_and_be_switched_off() -> None:
    assert run("fit", "--budget", "2m", "--no-ema", "photos", "--learning-rate", "none") == 0
    assert CALLS[1]["data"] == "loaded photos"
    assert CALLS[1]["ema"] is False


def test_words_after_two_dashes_are_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "runs/a", "--", "--odd.jpg", "-", "--help") == 0
    out = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["name"] for line in out] == ["--odd.jpg", "-", "--help"]


def test_result_goes_to_stdout_and_next_command_is_the_last_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("fit", "photos") == 0
    out, err = capsys.readouterr()
    assert out == "accuracy 0.98 ± 0.01\n"
    assert err.splitlines() == ["working", "next: headstart predict runs/mine photo.jpg"]


def test_budget_counts_from_the_start_of_the_command(
    still_clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = cli._find

    def find_slowly(place: cli.Place) -> object:
        still_clock.sleep(3.0)  # what a verb imports
        return find(place)

    monkeypatch.setattr(cli, "_find", find_slowly)
    assert events.seconds_since_command_began() is None
    assert run("fit", "photos") == 0
    assert CALLS[1]["spent"] in (3.0, 6.0)


def test_quiet_prints_the_result_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", "photos", "--quiet") == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("accuracy 0.98 ± 0.01\n", "")


def test_verbs_that_name_no_next_command_get_the_listed_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("starts") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == [
        *("scratch/x", "convnet", "1.5", "M", "-", "nothing", "none", "yes")
    ]
    assert err.splitlines()[-1] == f"next: {cli.NEXT['starts']}"


def test_all_bad_options_are_reported_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    line = "fit photos --bugdet 2m --strategy lpft --epochs ten --learning-rate fast --out"
    assert run(*shlex.split(line)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "error: Unknown option '--bugdet' of 'headstart fit'. Did you mean '--budget'? "
        "'headstart help fit' lists them all.",
        "error: Option '--out' needs a value: PATH. Run folder.",
        "error: strategy 'lpft' is not one of 'head', 'last-n', 'lp-ft', 'full'. "
        "Did you mean 'lp-ft'?",
        "error: epochs 'ten' is not 'auto' or a whole number. Write one of them, or a whole "
        "number, for example --epochs auto.",
        "error: learning_rate 'fast' is not a number. Write it like --learning-rate 0.1.",
    ]
    assert CALLS == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit"], "'headstart fit' needs DATA. Folder, table or name. Usage: headstart fit DATA"),
        (["fit", "a", "b"], "Unexpected argument 'b'. Usage: headstart fit DATA [options]."),
        (["fit", "a", "--label", "x", "y"], "columns of --label, are written with a comma"),
        (["evaluate", "runs/a"], "'headstart evaluate' needs --start. A needed option."),
        (["ftt"], "Unknown command 'ftt'. Did you mean 'fit'?"),
        (["--verbos", "fit"], "Unknown option '--verbos' of 'headstart'."),
        (["fit", "a", "--ema=yes"], "ignored explicit argument 'yes'"),
        (["fit", "a", "--learning-rate", "nan"], "learning_rate 'nan' is not a number."),
        (["fit", "a", "--from"], "Option '--from' needs a run folder"),
        (["predict", "runs/a"], "'headstart predict' needs FILES ..."),
        (["evaluate", "runs/a", "--from", "x"], "Unknown option '--from'"),
    ],
)
def test_bad_words_get_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("error: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("data", 3, "error: No image in photos/ (expected .jpg). Give another folder."),
        ("bug", 1, "(ZeroDivisionError: division by zero). Run again with --debug"),
        ("interrupt", 130, "error: Interrupted."),
        ("full", 5, "error: The disk is full: 'runs/x/model.json' could not be written."),
        ("denied", 5, "error: No permission to use 'runs/x'"),
    ],
)
def test_failures_are_one_sentence_with_their_exit_code(
    how: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fail", how) == code
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""


def test_errors_break_between_words_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("fail", "data") == 3
    assert capsys.readouterr().err.splitlines() == [
        "error: No image in photos/ (expected .jpg). Give",
        "  another folder.",
    ]


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fail", "bug", "--debug") == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "raise FAILURES[how]" in err


def test_from_repeats_a_run_and_written_options_win(tmp_path: Path) -> None:
    saved = {
        "verb": "fit",
        "options": {"budget": "9m", "epochs": 4, "out": str(tmp_path), "resume": True, "seed": 3},
    }
    (tmp_path / "options.json").write_text(json.dumps(saved))
    source = {"source": "photos", "label": "kind", "val_fraction": 0.3, "seed": 3}
    (tmp_path / "data.json").write_text(json.dumps({"source": source}))
    assert run("fit", "--from", str(tmp_path), "--epochs", "5", "--val-fraction", "0.1") == 0
    loaded, fitted = CALLS
    assert loaded == {"load": "photos", "label": "kind", "val_fraction": 0.1, "seed": 3}
    assert (fitted["budget"], fitted["epochs"], fitted["seed"]) == ("9m", 5, 3)
    assert "out" not in fitted
    assert fitted["resume"] is False
    assert run("fit", "other", "--from", str(tmp_path)) == 0
    assert CALLS[0]["load"] == "other"


def test_from_needs_the_data_where_the_run_was_made_from_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "options.json").write_text('{"verb": "fit", "options": {"epochs": 4}}')
    (tmp_path / "data.json").write_text('{"source": null}')
    assert run("fit", "--from", str(tmp_path)) == 2
    assert "'headstart fit' needs DATA" in capsys.readouterr().err
    assert run("fit", "photos", "--from", str(tmp_path)) == 0
    assert CALLS[1]["epochs"] == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "holds no options.json"),
        ("{", "is damaged: Expecting property name"),
        ("[]", "is damaged: it is no JSON object"),
        ("{}", "is damaged: it has no 'options'"),
        ('{"verb": "finetune", "options": {}}', "Use 'headstart finetune --from"),
    ],
)
def test_from_refuses_what_it_cannot_repeat(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "options.json").write_text(text)
        (tmp_path / "data.json").write_text('{"source": null}')
    assert run("fit", "photos", "--from", str(tmp_path)) == 5
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["help", "fit"], ["fit", "--help"], ["fit", "a", "-h"]])
def test_help_states_every_option_once_with_its_default(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(*words) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage  headstart fit DATA [options]\n\nFit a model inside a budget.\n")
    assert "has code in it" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    flat = " ".join(text.split())
    assert "--strategy head|last-n|lp-ft|full Which parameters learn. (default: lp-ft)" in flat
    assert "--val-fraction FLOAT Share of train, in (0, 1). (default: 0.15)" in flat
    assert "--ema Average the weights. --" in flat
    assert "--mirror/--no-mirror Mirror images. (default: --mirror)" in flat
    assert flat.count("--seed INT") == 1
    assert "--from RUN" in flat
    assert "model" not in flat.replace("Fit a model", "")
    assert text.index("Options for reading the data") < text.index("--label")


def test_overview_lists_the_commands_with_their_summaries(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in ([], ["--help"], ["help"]):
        assert run(*words) == 0
        text = capsys.readouterr().out
        assert "  fit       Fit a model inside a budget." in text
        assert "\033" not in text
        assert max(map(len, text.splitlines())) <= 80


def test_table_for_a_person_and_json_lines_for_a_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("predict", "runs/a", "x.jpg") == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "x.jpg",
        "label": "cat",
        "probability": 0.75,
        "probabilities": [0.75, 0.25],
    }
    monkeypatch.setattr(printing, "is_terminal", lambda stream: True)
    assert run("predict", "runs/a", "x.jpg") == 0
    out, err = capsys.readouterr()
    assert err == "next: headstart evaluate runs/a\n"
    heading, row = out.splitlines()
    assert heading.split() == ["sample", "prediction", "probability"]
    assert row.split() == ["x.jpg", "cat", "0.7500"]


def test_kinds_are_read_from_annotations_even_when_names_are_for_type_checkers() -> None:
    def spell(annotation: str) -> object:
        kind = read_kind(annotation, {})
        return kind and (kind.metavar, kind.is_list, kind.allows_none)

    assert spell("str | nn.Module") == ("TEXT", False, False)
    assert spell("nn.Module | None") is None
    assert spell("Callable[[int], int] | None") is None
    assert spell("Sequence[str | Path] | None") == ("PATH ...", True, True)
    assert spell("list[int]") == ("INT ...", True, False)
    assert spell("int | Literal['auto']") == ("auto|INT", False, False)
    assert spell("Optional[float]") == ("FLOAT", False, True)
    assert read_kind(float | None, {}) == read_kind("float | None", {})


def test_required_parameter_that_no_option_can_give_is_a_programmers_error() -> None:
    def broken(model: Dataset) -> None:
        """Break."""

    with pytest.raises(TypeError, match="needs 'model'"):
        read_command("broken", broken)


def test_convert_refuses_with_an_option_error() -> None:
    kind = read_kind("int", {})
    assert kind is not None
    assert kind.convert("epochs", "1_000") == 1000
    with pytest.raises(OptionError, match=r"epochs '1\.5' is not a whole number"):
        kind.convert("epochs", "1.5")


# The real program ---------------------------------------------------------------------------------


def _python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )


# What a help may import beside Python's own library and headstart itself.
LIGHT = {"headstart", "docstring_parser", "rich"}
# Rooms whose files bring NumPy, pyarrow or PyTorch, and are of no use before a command runs.
HEAVY_ROOMS = (
    "auditing",
    "data.sources",
    "evaluation",
    "model",
    "preprocessing",
    "starts",
    "tuning",
)
MOST_MODULES = 95  # of headstart's own; 89 when this was written


@pytest.mark.parametrize("words", [[], ["--help"], *([verb, "--help"] for verb in cli.VERBS)])
def test_help_imports_next_to_nothing(words: list[str]) -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom headstart.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)\nsys.exit(code)"
    )
    done = _python(code, *words)
    assert done.returncode == 0, done.stderr
    assert "headstart" in done.stdout
    imported = done.stderr.split()
    others = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - LIGHT
    assert not others
    own = [name for name in imported if name.startswith("headstart")]
    assert not [n for n in own if n.removeprefix("headstart.").startswith(HEAVY_ROOMS)]
    assert 10 < len(own) <= MOST_MODULES, own


def _processor_seconds() -> float:
    """Return what ended children have computed: a busy machine delays it less than a clock."""
    times = os.times()
    return times.children_user + times.children_system


def test_help_and_import_are_there_at_once() -> None:
    """Wanted are 0.15 and 0.1 s on an idle machine; here four to six times as much may be taken."""
    for code, limit in (
        ("from headstart.cli import main; main(['--help'])", 0.6),
        ("import headstart", 0.6),
    ):
        seconds = []
        for _ in range(3):
            before = _processor_seconds()
            assert _python(code).returncode == 0
            seconds.append(_processor_seconds() - before)
        assert min(seconds) <= limit


def test_every_verb_has_a_summary_and_describes_every_option() -> None:
    offenders = []
    for verb in cli.VERBS:
        command = cli._find_command(verb, cli.VERBS, cli.LOAD)
        offenders += [verb] if not command.summary else []
        offenders += [f"{verb} {o.name}" for o in command.options if not o.description]
    assert not offenders


def test_module_runs_and_says_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "--version"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )
    assert (done.returncode, done.stdout) == (0, "headstart 0.1.0\n")


def test_closed_pipe_is_left_quietly() -> None:
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nimport test_cli\n"
        "from headstart.cli import main\n"
        "sys.exit(main(['predict', 'r', *['x' * 99] * 5000], verbs=test_cli.VERBS))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert said == b""


@pytest.mark.parametrize(
    "said",
    [
        "libtorch_cuda.so: failed to map segment from shared object",
        "libgomp.so.1: cannot allocate memory in static TLS block",
        "operator torchvision::nms does not exist",
    ],
)
def test_a_library_that_memory_has_no_room_for_is_said_with_the_way_on(said, monkeypatch, capsys):
    def short(*args, **kwargs):
        raise ImportError(said)

    from headstart.cli import main

    monkeypatch.setattr("headstart.cli._dispatch", short)
    assert main(["starts"]) == 6
    told = capsys.readouterr().err
    assert "memory" in told
    assert "ulimit -v unlimited" in told
    assert "unexpected" not in told
