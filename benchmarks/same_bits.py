"""Two builds of headstart on one machine, side by side: whether both give the same bits.

    python benchmarks/same_bits.py --before ../before --after .

Each is a checkout with ``src/``. Every case of ``same_bits_cases`` runs once in each, in a process
of its own with one thread and a cache of its own; losses, tensors, figures, predictions and answers
must be equal to the last bit. What a run tells of itself (options, data, report) is listed where it
differs and fails nothing. The same checkout twice, which is the default, proves that nothing here
is noise. Left out: a comparison with stored values, because processors differ.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from same_bits_data import write_files

HERE = Path(__file__).parent
CASES = str(HERE / "same_bits_cases.py")
SIDES = ("before", "after")
SHOWN = 3  # differences of one kind that are printed of a case
WIDTH = 70  # of a value that is printed
TAIL = 8  # lines of a failed case's output that are printed
TOLD = 60  # lines of information
LIMIT_SECONDS = 300  # of one case
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MISSING = "(missing)"


@dataclass(frozen=True)
class Difference:
    """One value that is not the same.

    Attributes:
        field: Where it stands in the record of the case: ``metrics.test.num_items``; or what went
            wrong, where there are no values.
        before: What it was, as JSON.
        after: What it is.
    """

    field: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        if not self.before and not self.after:
            return self.field
        return f"{self.field}: {_short(self.before)} -> {_short(self.after)}"


@dataclass
class Verdict:
    """What came of a case.

    Attributes:
        name: Of the case.
        num_equal: Values that are the same.
        failures: Differences that nobody expected.
        expected: Differences with the reason for each.
        told: Differences in what a run tells of itself.
        added: Fields that only the later build writes.
        skipped: Why it did not run; empty where it did.
        note: What a reader should know of the comparison.
        seconds: What each build took.
    """

    name: str
    num_equal: int = 0
    failures: list[Difference] = field(default_factory=list)
    expected: list[tuple[Difference, str]] = field(default_factory=list)
    told: list[Difference] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    skipped: str = ""
    note: str = ""
    seconds: tuple[float, float] = (0.0, 0.0)

    @property
    def word(self) -> str:
        """How it ended, in a word or two."""
        if self.skipped:
            return "SKIPPED"
        if self.failures:
            return "DIFFERENT"
        return "as expected" if self.expected else "same"


# Comparing --------------------------------------------------------------------------------------


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every value of a record with its place, and the length of every list."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        yield f"{path}.length", str(len(value))
        for number, item in enumerate(value):
            yield from flatten(item, f"{path}.{number}")
    else:
        yield path, json.dumps(value, ensure_ascii=False)  # exact for floats; NaN is NaN


def compare(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Verdict:
    """Compare the records of one case.

    Args:
        name: Of the case.
        before: Its record by the one build.
        after: By the other.
    """
    verdict = Verdict(name, note=before.get("note", ""))
    for side, record in zip(SIDES, (before, after), strict=True):
        if failed := record.get("failed"):
            verdict.failures.append(Difference(f"{side} failed: {failed}"))
        verdict.skipped = record.get("skipped", verdict.skipped)
        for claim, holds in record.get("must", {}).items():
            if not holds:
                verdict.failures.append(Difference(f"{side}: not so: {claim}"))
    if verdict.failures or verdict.skipped:
        return verdict
    verdict.failures += _compare_weights(before, after)
    old, new = (dict(flatten(_without_weights(record))) for record in (before, after))
    for place in dict.fromkeys([*old, *new]):
        found = Difference(place, old.get(place, MISSING), new.get(place, MISSING))
        if found.before == found.after:
            verdict.num_equal += 1
        elif place.startswith("told."):
            verdict.told.append(found)
        elif place in old:
            verdict.failures.append(found)
        else:
            verdict.added.append(place)
    verdict.num_equal += len(before.get("weights", {}))
    if not verdict.num_equal:
        verdict.failures.append(Difference("nothing was compared"))
    return verdict


def _without_weights(record: Mapping[str, Any]) -> dict[str, Any]:
    aside = ("weights", "headstart", "must", "note")
    return {key: value for key, value in record.items() if key not in aside}


def _compare_weights(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Compare tensors by name; where only the names differ, say that alone."""
    old, new = (record.get("weights", {}) for record in (before, after))
    if old == new:
        return []
    names = sorted(old.keys() ^ new.keys())
    if Counter(old.values()) == Counter(new.values()):
        first, last = ([n for n in names if n in some] for some in (old, new))
        return [Difference("weights.names", ", ".join(first[:2]), ", ".join(last[:2]))]
    return [
        Difference(f"weights.{name}", old.get(name, MISSING), new.get(name, MISSING))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def excuse(verdict: Verdict, expected: Mapping[str, str]) -> None:
    """Move differences that were expected out of the failures.

    Args:
        verdict: Of one case.
        expected: The reason for each ``case/field``, where ``*`` stands for anything.
    """
    left = []
    for found in verdict.failures:
        place = f"{verdict.name}/{found.field}"
        reason = next((why for of, why in expected.items() if fnmatchcase(place, of)), None)
        if reason is None:
            left.append(found)
        else:
            verdict.expected.append((found, reason))
    verdict.failures = left


# Running ----------------------------------------------------------------------------------------


def run_case(name: str, checkout: Path, folder: Path, data: Path) -> tuple[dict[str, Any], float]:
    """Run a case by one build; return its record and the seconds it took.

    Args:
        name: Of the case.
        checkout: Of the build.
        folder: To work in.
        data: The folder of the data that both builds read.
    """
    folder.mkdir(parents=True)
    source = checkout.resolve() / "src"
    environment = {
        **os.environ,
        **dict.fromkeys(THREADS, "1"),
        "PYTHONPATH": str(source),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HEADSTART_CACHE": str(folder / "cache"),
        "HEADSTART_QUIET": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    began = time.monotonic()
    with open(folder / "said", "w") as said:
        process = subprocess.Popen(
            [sys.executable, CASES, name, str(data)],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: object = process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
            code = f"nothing after {LIMIT_SECONDS} s"
    seconds = time.monotonic() - began
    if code != 0:
        last = (folder / "said").read_text(errors="replace").strip().splitlines()[-TAIL:]
        return {"failed": "\n    ".join([f"exit code {code}", *last])}, seconds
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())
    if not Path(record["headstart"]).is_relative_to(source):
        record["failed"] = f"ran {record['headstart']}, not what is in {source}"
    return record, seconds


def run_both(name: str, checkouts: Sequence[Path], root: Path, *, in_turn: bool) -> Verdict:
    """Run a case by both builds at once, or one after the other, and compare."""
    with ThreadPoolExecutor(1 if in_turn else 2) as pool:
        jobs = [
            pool.submit(run_case, name, checkout, root / side / name, root / "data")
            for side, checkout in zip(SIDES, checkouts, strict=True)
        ]
        (before, first), (after, second) = (job.result() for job in jobs)
    verdict = compare(name, before, after)
    verdict.seconds = (first, second)
    return verdict


# Telling ----------------------------------------------------------------------------------------


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def tell(verdict: Verdict) -> None:
    """Print what came of a case: a line, and the first differences below it."""
    first, second = verdict.seconds
    about = [f"{verdict.num_equal:,} values"] if verdict.num_equal else []
    about += [text for text in (verdict.skipped, verdict.note) if text]
    times = f"{first:5.1f} {second:5.1f} s"
    print(f"{verdict.name:28} {verdict.word:12} {times}  {'; '.join(about)}")
    for found in _first_of_each(verdict.failures):
        print(f"    {found}")
    for reason in dict.fromkeys(why for _, why in verdict.expected):
        of = [found for found, why in verdict.expected if why == reason]
        print(f"    expected, {len(of)} values: {reason}\n      {of[0]}")
    sys.stdout.flush()


def _first_of_each(differences: Iterable[Difference]) -> Iterator[str]:
    """Yield the first differences of each part of a record, and how many more there are."""
    parts: dict[str, list[Difference]] = {}
    for found in differences:
        parts.setdefault(found.field.split(".")[0], []).append(found)
    for part, several in parts.items():
        yield from map(str, several[:SHOWN])
        if len(several) > SHOWN:
            yield f"{part}: {len(several) - SHOWN} more"


def tell_apart(verdicts: Sequence[Verdict]) -> None:
    """Print what runs tell differently of themselves; the same of several cases is one line.

    Left out is what other figures bring with them.
    """
    told: dict[str, list[str]] = {}
    for verdict in verdicts:
        for found in verdict.told if verdict.word == "same" else ():
            told.setdefault(str(found).removeprefix("told."), []).append(verdict.name)
        for part in dict.fromkeys(place.split(".")[0] for place in verdict.added):
            number = sum(place.split(".")[0] == part for place in verdict.added)
            told.setdefault(f"{part}: {number} more fields", []).append(verdict.name)
    if told:
        print("\nFor information, what is told differently and fails nothing:")
    for line, names in list(told.items())[:TOLD]:
        print(f"  {line}  ({names[0] if len(names) == 1 else f'{len(names)} cases'})")
    if len(told) > TOLD:
        print(f"  … and {len(told) - TOLD} more; both records lie in the folder of --keep")


def main() -> int:
    options = _read_options()
    named = subprocess.run(
        [sys.executable, CASES],
        env={**os.environ, "PYTHONPATH": str(options.before.resolve() / "src")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    if unknown := [n for n in options.cases if not any(fnmatchcase(k, n) for k in named)]:
        sys.exit(f"Unknown case '{unknown[0]}'; expected one of {', '.join(named)}.")
    chosen = [n for n in named if any(fnmatchcase(n, given) for given in options.cases or "*")]
    expected = json.loads(options.expected.read_text()) if options.expected else {}
    with tempfile.TemporaryDirectory(prefix="same_bits-") as temporary:
        root = (options.keep or Path(temporary)).resolve()
        write_files(root / "data")
        began, verdicts = time.monotonic(), []
        for name in chosen:
            both = (options.before, options.after)
            verdict = run_both(name, both, root, in_turn=options.in_turn)
            excuse(verdict, expected)
            tell(verdict)
            verdicts.append(verdict)
    tell_apart(verdicts)
    if not options.cases:
        seen = {why for verdict in verdicts for _, why in verdict.expected}
        for place in (place for place, why in expected.items() if why not in seen):
            print(f"Expected and not seen: {place}")
    words = Counter(verdict.word for verdict in verdicts)
    counted = ", ".join(f"{number} {word}" for word, number in words.items())
    print(f"\n{len(verdicts)} cases in {time.monotonic() - began:.0f} s: {counted}.")
    return 1 if words["DIFFERENT"] else 0


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = HERE.parent
    parser.add_argument("--before", type=Path, default=here, help="checkout of the older build")
    parser.add_argument("--after", type=Path, default=here, help="checkout of the newer build")
    parser.add_argument("--cases", nargs="+", default=[], help="names, * stands for anything")
    parser.add_argument("--expected", type=Path, help="JSON: case/field, with * -> reason")
    parser.add_argument("--keep", type=Path, help="new folder for all that the runs write")
    parser.add_argument("--in-turn", action="store_true", help="one build after the other")
    options = parser.parse_args()
    for side in SIDES:
        checkout = getattr(options, side)
        if not (checkout / "src" / "headstart").is_dir():
            parser.error(f"--{side} {checkout} has no src/headstart; expected a checkout")
    if options.keep and any((options.keep / side).exists() for side in SIDES):
        parser.error(f"--keep {options.keep} holds runs already; expected a new folder")
    return options


if __name__ == "__main__":
    sys.exit(main())
