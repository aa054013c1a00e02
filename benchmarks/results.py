"""The table of results on texts and tables in docs/results.md: one line a data set and start.

    HEADSTART_DATA=… python benchmarks/results.py sst2 trec sms        # some of them
    HEADSTART_DATA=… python benchmarks/results.py                      # all: hours on two cores

Every line is ``hs.finetune`` with the options of its job below, over the seeds of the set; the
test items are the same for all seeds where the data bring a test split, otherwise the split changes
with the seed. Shown are the mean over the seeds with its 95 % interval (Student's t, which covers
split, order and initial weights; a single seed shows the interval over its test items), the
control beside it, and how many runs beat the control with p < 0.05.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timing import markdown_table

MINILM, BERT, MLP, LINEAR = (
    "pip/all-minilm-l6-v2",
    "scratch/bert-tiny",
    "scratch/mlp",
    "scratch/linear",
)

# The columns of files without a header row, as their .names files give them.
WINE = """fixed_acidity volatile_acidity citric_acid residual_sugar chlorides free_sulfur_dioxide
    total_sulfur_dioxide density pH sulphates alcohol quality"""
BOSTON = "crim zn indus chas nox rm age dis rad tax ptratio b lstat medv"
ADULT = """age workclass fnlwgt education education_num marital_status occupation relationship race
    sex capital_gain capital_loss hours_per_week native_country income"""


@dataclass(frozen=True)
class Job:
    """One line of the table."""

    data: str
    start: str
    num_seeds: int
    load: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


def jobs(root: Path) -> list[Job]:
    """Return every line, in the order of the table."""
    text, table = root / "text", root / "tabular"
    sst2 = {"source": str(text / "sst2"), "header": ["text", "label"], "label": "label"}
    trec = {"source": str(text / "trec-qc"), "label": "coarse", "text": "text"}
    sms = {"source": sms_file(text), "header": ["label", "text"], "label": "label"}
    hotel = {"source": chn_file(text), "label": "label", "text": "review"}
    homes = {
        "source": str(table / "california_housing.csv.gz"),
        "label": "median_house_value",
        "task": "regression",
    }
    wine = {
        "source": str(table / "winequality-red.csv"),
        "header": WINE.split(),
        "label": "quality",
        "task": "regression",
    }
    boston = {
        "source": str(table / "boston_housing.csv"),
        "header": BOSTON.split(),
        "label": "medv",
        "task": "regression",
    }
    adult = {"source": adult_folder(table), "header": ADULT.split(), "label": "income"}
    ames = {"source": str(table / "ames.csv.gz"), "label": "Sale_Price", "task": "regression"}
    return [
        Job("trec", MINILM, 5, trec, {"num_steps": 300}),
        Job("sms", MINILM, 5, sms, {"num_steps": 200}),
        Job("sst2", MINILM, 1, sst2, {"num_epochs": 1}),
        Job("chnsenticorp", MINILM, 1, hotel, {"num_steps": 100}),
        Job("trec", BERT, 5, trec, {"num_steps": 500}),
        Job("sms", BERT, 5, sms, {"num_steps": 300}),
        Job("sst2", BERT, 1, sst2, {"num_epochs": 3}),
        Job("chnsenticorp", BERT, 1, hotel, {"num_steps": 200}),
        Job("california", MLP, 5, homes),
        Job("california", LINEAR, 5, homes),
        Job("ames", MLP, 5, ames),
        Job("ames", LINEAR, 5, ames),
        Job("wine", MLP, 5, wine),
        Job("wine", LINEAR, 5, wine),
        Job("boston", MLP, 5, boston),
        Job("boston", LINEAR, 5, boston),
        Job("adult", MLP, 1, adult),
        Job("adult", LINEAR, 1, adult),
    ]


def sms_file(text: Path) -> str:
    """Return the SMS spam collection under a name that tells its form: UCI's has no ending."""
    link = Path(tempfile.gettempdir()) / "headstart-sms-spam.tsv"
    link.unlink(missing_ok=True)
    link.symlink_to((text / "sms-spam" / "SMSSpamCollection").absolute())
    return str(link)


def chn_file(text: Path) -> str:
    """Return the file of the hotel reviews."""
    return str(sorted((text / "chnsenticorp").glob("*.csv*"))[0])


def adult_folder(table: Path) -> str:
    """Return a folder with both files of adult: in UCI's test file every class ends with a dot."""
    folder = Path(tempfile.gettempdir()) / "headstart-adult"
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        text = gzip.decompress((table / f"adult-{split}.csv.gz").read_bytes()).decode()
        rows = [line.rstrip(".") for line in text.splitlines() if line.count(",") == 14]
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return str(folder)


def run_job(job: Job, seed: int, out: Path) -> dict[str, Any]:
    """Fine-tune once; return the headline figure, the ladder and the verdicts."""
    import headstart as hs

    began = time.perf_counter()
    load = dict(job.load)
    data = hs.load(load.pop("source"), seed=seed, **load)
    run = hs.finetune(
        data, start=job.start, out=str(out), seed=seed, device="cpu", overwrite=True, **job.options
    )
    ladder = run.metrics["before_after"]
    return {
        "data": job.data,
        "start": job.start,
        "seed": seed,
        "metric": ladder["metric"],
        "figures": ladder["figures"],
        "comparisons": ladder["comparisons"],
        "counts": run.data["counts"],
        "strategy": run.model_record["strategy"],
        "seconds": time.perf_counter() - began,
    }


def over_seeds(values: list[float]) -> str:
    """Return the mean with Student's 95 % interval over the seeds."""
    from scipy.stats import t

    mean = statistics.fmean(values)
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{shown(mean)} [{shown(mean - half)}, {shown(mean + half)}]"


def shown(value: float) -> str:
    """Return a figure as the table shows it."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4f}"


def cell(records: list[dict[str, Any]], name: str) -> str:
    """Return one predictor's figure over the seeds, empty where it was not run."""
    found = [record["figures"][name] for record in records if name in record["figures"]]
    if len(found) > 1:
        return over_seeds([figure["value"] for figure in found])
    if not found:
        return ""
    figure = found[0]
    return f"{shown(figure['value'])} [{shown(figure['low'])}, {shown(figure['high'])}]"


def wins(records: list[dict[str, Any]], control: str) -> str:
    """Return in how many runs the fine-tuned model and the control won with p < 0.05."""
    after = before = 0
    for record in records:
        for verdict in record["comparisons"]:
            if verdict["before"] == control and verdict["p_value"] < 0.05:
                is_error = record["metric"] in ("rmse", "mae")
                gain = verdict["difference"]["value"] * (-1 if is_error else 1)
                after, before = after + (gain > 0), before + (gain < 0)
    return f"{after} / {before} of {len(records)}"


def table_of(records: list[dict[str, Any]]) -> str:
    """Return the Markdown table."""
    rows: list[list[object]] = []
    keys = list(dict.fromkeys((record["data"], record["start"]) for record in records))
    for data, start in keys:
        mine = [r for r in records if (r["data"], r["start"]) == (data, start)]
        is_text = "TF-IDF + linear" in mine[0]["figures"]
        control = "TF-IDF + linear" if is_text else "gradient boosting"
        counts = mine[0]["counts"]
        rows.append(
            [
                f"{data} ({counts['train']:,} / {counts['test']:,})",
                f"`{start}`, {mine[0]['strategy']}",
                mine[0]["metric"],
                cell(mine, "fine-tuned"),
                cell(mine, "frozen start + linear probe"),
                f"{control} {cell(mine, control)}",
                wins(mine, control),
                f"{statistics.median(r['seconds'] for r in mine):.0f} s",
            ]
        )
    columns = ["data (train / test)", "start, strategy", "figure", "fine-tuned", "frozen + probe"]
    columns += ["control", "won / lost against it", "a run"]
    return markdown_table(columns, rows)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Results on texts and tables.")
    parser.add_argument("names", nargs="*", help="data sets; all when none is named")
    parser.add_argument("--starts", nargs="+", help="only these starts")
    parser.add_argument("--json", default="results.json", help="records, kept after every run")
    arguments = parser.parse_args(argv)
    path = Path(arguments.json)
    records: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    done = {(r["data"], r["start"], r["seed"]) for r in records}
    for job in jobs(Path(os.environ["HEADSTART_DATA"])):
        if arguments.names and job.data not in arguments.names:
            continue
        if arguments.starts and job.start not in arguments.starts:
            continue
        for seed in range(job.num_seeds):
            if (job.data, job.start, seed) in done:
                continue
            with tempfile.TemporaryDirectory() as folder:
                record = run_job(job, seed, Path(folder) / "run")
            records.append(record)
            path.write_text(json.dumps(records))
            print(table_of([record]), flush=True)
    print("\n" + table_of(records))


if __name__ == "__main__":
    main(sys.argv[1:])
