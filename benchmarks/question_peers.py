"""Fine-tuning for questions whose answers stand in a text: headstart against Hugging Face Trainer.

    HEADSTART_DATA=… python benchmarks/question_peers.py --threads 1 --repeats 2 --json /tmp/q.json

Both sides learn the questions that ``rule_questions.py`` makes of WNUT17 from the same weights:
all-MiniLM-L6-v2 with two new vectors. Same epochs, batch size, AdamW, learning rate, 10 % of linear
warm-up, clipping at 1, windows of 192 tokens that overlap by half; every weight learns. Trainer
makes its windows as transformers' example does and pads each batch to its longest row, at random or
grouped by length, in fp32 or bf16. Each side runs in a process of its own, the order turns from
repeat to repeat. Counted are the seconds from the first batch to the last step (headstart's checks
of val are in them) and the highest memory of the process until then. Judged by F1 of the answers to
the same test questions: of Trainer's the best span that leads "no answer", of headstart's what it
says; val's threshold is headstart's alone, so that the figures tell that both learn, and no more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rule_questions import read_sentences, squad_of
from text_peers import weights_folder
from timing import (
    answer_side,
    count_cores,
    describe_machine,
    save_records,
    take_turns,
)
from word_peers import OURS, SIDES, peak_mib, table, told_side

FILES = {
    "train": "wnut17train.conll",
    "dev": "emerging.dev.conll",
    "test": "emerging.test.annotated",
}
LENGTH, STRIDE, LONGEST = 192, 64, 30


def write_data(source: Path, folder: Path, limit: int) -> dict[str, int]:
    """Write the questions of each split; return how many there are."""
    counts = {}
    for split, name in FILES.items():
        squad = squad_of(read_sentences(source / "ner-wnut17" / name), split, 6, 0)
        left = limit if split == "train" else 300 if split == "test" else 60
        for article in squad["data"]:
            for paragraph in article["paragraphs"]:
                paragraph["qas"] = paragraph["qas"][: max(0, left)]
                left -= len(paragraph["qas"])
            article["paragraphs"] = [one for one in article["paragraphs"] if one["qas"]]
        (folder / f"{split}-v2.0.json").write_text(json.dumps(squad), encoding="utf-8")
        counts[split] = sum(len(p["qas"]) for a in squad["data"] for p in a["paragraphs"])
    return counts


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return questions with contexts and answers."""
    found = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [
        {"context": paragraph["context"], **asked}
        for article in found
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


def windows_of(tokenizer: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return windows with the first and last token of the answer, as transformers' example."""
    made = tokenizer(
        [row["question"] for row in rows],
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=LENGTH,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    found = []
    for place, row in enumerate(made["overflow_to_sample_mapping"]):
        sides, spans = made.sequence_ids(place), made["offset_mapping"][place]
        first = last = 0
        for told in rows[row]["answers"][:1]:
            begin = told["answer_start"]
            end = begin + len(told["text"])
            inside = [i for i, side in enumerate(sides) if side == 1]
            starts = [i for i in inside if spans[i][0] <= begin < spans[i][1]]
            ends = [i for i in inside if spans[i][0] < end <= spans[i][1]]
            first, last = (starts[0], ends[-1]) if starts and ends else (0, 0)
        one = {name: made[name][place] for name in ("input_ids", "attention_mask")}
        one |= {"start_positions": first, "end_positions": last}
        found.append(one | {"row": row, "spans": spans, "sides": sides})
    return found


def answers_of(trainer: Any, rows: list[dict[str, Any]], windows: list[dict[str, Any]]) -> float:
    """Return F1 of the best span of each question that leads "no answer"."""
    from headstart.evaluation.answers_found import judged_answers

    trainer.args.per_device_eval_batch_size = 1  # windows differ in length
    fed = [{name: w[name] for name in ("input_ids", "attention_mask")} for w in windows]
    best = [(-np.inf, "")] * len(rows)
    nothing = np.full(len(rows), np.inf)
    for window, one in zip(windows, fed, strict=True):
        starts, ends = (part[0] for part in trainer.predict([one]).predictions)
        row = window["row"]
        nothing[row] = min(nothing[row], starts[0] + ends[0])
        inside = np.array([side == 1 for side in window["sides"]])
        score = starts[:, None] + ends[None, :]
        place = np.arange(len(inside))
        width = place[None, :] - place[:, None]
        is_span = inside[:, None] & inside[None, :] & (width >= 0) & (width < LONGEST)
        score = np.where(is_span, score, -np.inf)
        first, last = np.unravel_index(int(score.argmax()), score.shape)
        text = rows[row]["context"][window["spans"][first][0] : window["spans"][last][1]]
        best[row] = max(best[row], (float(score[first, last]), text))
    said = [text if lead > nothing[i] else "" for i, (lead, text) in enumerate(best)]
    _, shared = judged_answers(said, [[told["text"] for told in row["answers"]] for row in rows])
    return float(np.mean(shared))


def run_trainer(
    options: Mapping[str, Any], *, is_grouped: bool, is_bf16: bool
) -> dict[str, object]:
    """Fine-tune with Trainer; imports and tokens are done before the clock starts."""
    import time

    import transformers as tf

    folder = Path(options["folder"])
    tokenizer = tf.AutoTokenizer.from_pretrained(weights_folder())
    rows = {name: read_rows(folder / f"{name}-v2.0.json") for name in ("train", "test")}
    sets = {name: windows_of(tokenizer, some) for name, some in rows.items()}
    model = tf.AutoModelForQuestionAnswering.from_pretrained(weights_folder())
    learned = ("input_ids", "attention_mask", "start_positions", "end_positions")
    train = [{name: one[name] for name in learned} for one in sets["train"]]
    num_steps = options["num_epochs"] * -(-len(train) // options["batch_size"])
    with tempfile.TemporaryDirectory() as out:
        trainer = tf.Trainer(
            model=model,
            args=tf.TrainingArguments(
                output_dir=out,
                num_train_epochs=options["num_epochs"],
                per_device_train_batch_size=options["batch_size"],
                learning_rate=options["learning_rate"],
                weight_decay=0.01,
                lr_scheduler_type="linear",
                warmup_steps=round(0.1 * num_steps),
                max_grad_norm=1.0,
                train_sampling_strategy="group_by_length" if is_grouped else "random",
                bf16=is_bf16,
                dataloader_pin_memory=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                seed=options["seed"],
            ),
            train_dataset=train,
            data_collator=tf.DataCollatorWithPadding(tokenizer),
        )
        began = time.perf_counter()
        trainer.train()
        spent: dict[str, object] = {
            "train_seconds": time.perf_counter() - began,
            "peak_mib": peak_mib(),
        }
        return spent | {"figure": answers_of(trainer, rows["test"], sets["test"])}


def run_headstart(options: Mapping[str, Any]) -> dict[str, object]:
    """Fine-tune with headstart, every default that the peers do not share switched off."""
    from milestones import import_everything

    import_everything("transformers")
    import headstart as hs
    from headstart.events import listen

    peaks = [0.0]

    def hear(kind: str, fields: dict[str, object]) -> None:
        if kind == "stage" and str(fields["text"]).startswith("Evaluating"):
            peaks.append(peak_mib())

    with listen(hear):
        run: Any = hs.finetune(
            options["folder"],
            start="pip/all-minilm-l6-v2",
            strategy="full",
            out=str(Path(options["out"]) / "run"),
            max_length=LENGTH,
            num_epochs=options["num_epochs"],
            batch_size=options["batch_size"],
            optimizer="adamw",
            learning_rate=options["learning_rate"],
            head_multiplier=1.0,
            bottom_multiplier=1.0,
            weight_decay=0.01,
            schedule="linear",
            warmup_fraction=0.1,
            clip=1.0,
            ema=False,
            patience=0,
            device="cpu",
            seed=options["seed"],
        )
    return {
        "train_seconds": float(run.options["training"]["seconds"]),
        "peak_mib": max(peaks),
        "figure": float(run.metrics["test"]["figures"]["f1"]["value"]),
    }


def run_here(side: str, options: Mapping[str, Any]) -> dict[str, object]:
    """Run a side in this process."""
    import torch

    torch.set_num_threads(options["num_threads"])
    torch.manual_seed(options["seed"])
    if side == OURS:
        return run_headstart(options)
    return run_trainer(options, is_grouped="grouped" in side, is_bf16="bf16" in side)


def measure(asked: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Run every side in every repeat."""
    options = {
        "folder": str(folder),
        "num_epochs": asked.epochs,
        "batch_size": 32,
        "learning_rate": 1e-4,
    }
    return take_turns(
        Path(__file__),
        asked.sides,
        asked.repeats,
        options,
        num_threads=asked.threads,
        told=partial(told_side, "F1"),
    )


def main(argv: list[str]) -> None:
    """Measure, or answer as one side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=600, help="training questions")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=min(2, count_cores()))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--json", help="write the raw measurements here")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.side is not None:
        options = json.loads(Path(asked.options).read_text())
        answer_side(asked.result, run_here(asked.side, options))
        return
    source = Path(os.environ.get("HEADSTART_DATA", ".")) / "text"
    with tempfile.TemporaryDirectory(prefix="headstart-setup-questions-") as place:
        folder = Path(place) / "questions"
        folder.mkdir()
        counts = write_data(source, folder, asked.limit)
        machine = describe_machine(asked.threads)
        print(f"{machine.sentence()}\n{counts}, {asked.epochs} epochs, batch 32.\n")
        records = measure(asked, folder)
    print("\n" + table("questions", records, asked.sides))
    save_records(asked.json, machine, records)


if __name__ == "__main__":
    main(sys.argv[1:])
