"""SICK as one table a split, which headstart reads as pairs: 4,500 to learn from, 4,927 to test.

The files ``SICK_train.txt``, ``SICK_trial.txt`` and ``SICK_test_annotated.txt`` of SemEval 2014,
task 1 (Marelli et al., CC BY-NC-SA 3.0), as github.com/brmson/dataset-sts holds them in
``data/sts/sick2014`` (commit e1d3375). Their trial split becomes val. Columns: ``sentence_A``,
``sentence_B``, ``relatedness`` (1 to 5) and ``entailment`` (three classes).

    python benchmarks/pairs.py SICK_FOLDER OUT [--num-test 1000]
    headstart finetune OUT --label entailment --drop relatedness --start pip/all-minilm-l6-v2
    headstart finetune OUT --label relatedness --task regression --drop entailment ...
    headstart finetune OUT --label entailment,relatedness ...
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

SPLITS = {"train": "SICK_train.txt", "val": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}
HEADER = ("sentence_A", "sentence_B", "relatedness", "entailment")


def main() -> None:
    """Write one CSV a split."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of the three files")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--num-test", type=int, help="test pairs that are drawn, seed 0; all when not given"
    )
    said = parser.parse_args()
    said.out.mkdir(parents=True, exist_ok=True)
    for split, name in SPLITS.items():
        with open(said.source / name, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
        if split == "test" and said.num_test is not None:
            rows = random.Random(0).sample(rows, said.num_test)
        with open(said.out / f"{split}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows(row[1:5] for row in rows)
        print(f"{split}: {len(rows):,} pairs")


if __name__ == "__main__":
    main()
