"""Masked tokens a second: headstart's steps against plain PyTorch and a run_mlm-style Trainer.

    python benchmarks/pretrain_texts.py TEXTS              # a .txt file, a column of a table …

One network (``scratch/bert-tiny`` or ``--start scratch/bert-small``), one vocabulary learned from
the texts, AdamW, one share of hidden tokens, about as many tokens a step for all. A masked token is
one that the loss is taken of. Rounds of steps of all sides follow one another, the order turns by
one from round to round, and ratios are taken inside a round, of the processor's time, so that other
programs on the machine do not count. What is timed is everything of a step: drawing samples,
hiding, padding, both passes, clipping, the optimizer. headstart's steps run in the format that it
chooses and in fp32; the others' in fp32, their default, and in bf16 (autocast), which they take
where they are told to.

- ``plain``: a loop of twenty lines: random batches padded to their own longest text, logits of
  every token, cross-entropy with -100 where nothing is hidden.
- ``trainer``: Hugging Face Trainer with DataCollatorForLanguageModeling, texts line by line, which
  pads as ``plain`` does.
- ``trainer-blocks``: the same as its run_mlm example does by default: texts one behind the other,
  cut into blocks of the greatest length, so that nothing is padded (texts see their neighbours).
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import markdown_table, processor_name

from headstart.data import load
from headstart.model.words import MaskedWords
from headstart.pretraining.course import optimizer_of
from headstart.pretraining.hidden_words import HiddenWordLearner, build_hidden_words
from headstart.pretraining.objective import Givens
from headstart.pretraining.step_precision import unstepped
from headstart.pretraining.texts import read_texts
from headstart.starts import find_start
from headstart.starts.texts.configs import read_config
from headstart.starts.texts.word_heads import language_model
from headstart.training.batches.order import Share
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions

OURS, OURS_FP32 = "headstart", "headstart, fp32"
SHARE, WANTED = 0.2, 1.3
Side = Callable[[int], tuple[float, int]]  # steps to seconds and masked tokens


def learner_of(said: argparse.Namespace) -> HiddenWordLearner:
    """Return headstart's own learner of some texts."""
    data, start, text = said.texts, said.start, said.text
    options = PretrainingOptions(objective="mlm", start=start, mask_fraction=SHARE, device="cpu")
    corpus = read_texts(partial(load, data, text=text) if text else data, options)
    means = Givens(options, find_start(start), torch.device("cpu"), Budget(None), Decisions())
    learner = build_hidden_words(corpus, means)
    size = max(1, round(said.tokens / float(learner.hider.inputs.lengths.mean())))
    learner.recipe = replace(learner.recipe, batch_size=size, micro_batch_size=size)
    return learner


def headstart_side(learner: HiddenWordLearner) -> Side:
    """Return the steps that the loop takes of a learner."""
    feed = learner.feed(Share())
    recipe = replace(learner.recipe, learning_rate=1e-4)
    optimizer = optimizer_of(learner.encoder, learner.module, recipe)
    taken = 0

    def run(steps: int) -> tuple[float, int]:
        nonlocal taken
        learner.module.train()  # as the loop has it: nothing is dropped out
        began, masked = time.process_time(), 0
        for step in range(taken, taken + steps):
            for batch in feed.batches(step):
                loss = learner.compute_loss(batch)
                (loss * batch.part).backward()
                masked += len(batch.inputs[-1])
            torch.nn.utils.clip_grad_norm_(learner.module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        taken += steps
        return time.process_time() - began, masked

    return run


def whole_model(learner: HiddenWordLearner) -> torch.nn.Module:
    """Return transformers' masked language model of the same configuration, without dropout."""
    config = read_config(learner.encoder.architecture["options"]["config"])
    for name in vars(config):
        if "dropout" in name and isinstance(getattr(config, name), float):
            setattr(config, name, 0.0)
    return language_model(config, "masked", "benchmark").train()


def windows_of(learner: HiddenWordLearner) -> list[list[int]]:
    """Return the windows that headstart learns from, special tokens included."""
    inputs = learner.hider.inputs
    corpus = inputs.corpus.ids
    bodies = inputs.bodies(np.arange(len(inputs)))
    return [[*inputs.prefix, *corpus[body].tolist(), *inputs.suffix] for body in bodies]


def plain_side(learner: HiddenWordLearner, *, is_narrow: bool) -> Side:
    """Return the steps of a plain loop."""
    model = whole_model(learner)
    windows = [torch.tensor(window) for window in windows_of(learner)]
    mask_id, pad_id = learner.hider.masking.mask_id, learner.hider.inputs.pad_id
    size, vocabulary = learner.recipe.batch_size, learner.words.tokenizer.vocab_size
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    draws = torch.Generator().manual_seed(0)

    def run(steps: int) -> tuple[float, int]:
        began, masked = time.process_time(), 0
        for _ in range(steps):
            some = torch.randperm(len(windows), generator=draws)[:size].tolist()
            ids = torch.nn.utils.rnn.pad_sequence(
                [windows[i] for i in some], batch_first=True, padding_value=pad_id
            )
            is_token = ids > 4  # no special one
            hidden = (torch.rand(ids.shape, generator=draws) < SHARE) & is_token
            labels = torch.where(hidden, ids, -100)
            seen = torch.where(hidden, mask_id, ids)
            with torch.autocast("cpu", torch.bfloat16, enabled=is_narrow):
                logits = model(input_ids=seen, attention_mask=(ids != pad_id).long()).logits
            logits = logits.float().view(-1, vocabulary)
            torch.nn.functional.cross_entropy(logits, labels.view(-1)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            masked += int(hidden.sum())
        return time.process_time() - began, masked

    return run


def trainer_side(
    learner: HiddenWordLearner, folder: Path, *, in_blocks: bool, is_narrow: bool
) -> Side:
    """Return the steps of Hugging Face Trainer."""
    from transformers import (
        DataCollatorForLanguageModeling,
        PreTrainedTokenizerFast,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    windows = windows_of(learner)
    size = learner.recipe.batch_size
    if in_blocks:
        length = max(map(len, windows))
        flat = [token for window in windows for token in window]
        size = max(1, round(size * len(flat) / len(windows) / length))
        windows = [flat[i : i + length] for i in range(0, len(flat) - length + 1, length)]
    for name, content in learner.words.tokenizer.files().items():
        (folder / name).write_bytes(content)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    collator = DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=SHARE, mask_replace_prob=1.0, random_replace_prob=0.0
    )
    counted: list[int] = []

    def collate(examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        batch = collator(examples)
        counted.append(int((batch["labels"] != -100).sum()))
        return dict(batch)

    class Clock(TrainerCallback):
        """Times the steps themselves, without what a Trainer sets up before."""

        began = ended = 0.0

        def on_train_begin(self, *args: object, **kwargs: object) -> None:
            self.began = time.process_time()

        def on_train_end(self, *args: object, **kwargs: object) -> None:
            self.ended = time.process_time()

    model = whole_model(learner)

    def run(steps: int) -> tuple[float, int]:
        counted.clear()
        clock = Clock()
        arguments = TrainingArguments(
            str(folder), max_steps=steps, per_device_train_batch_size=size, learning_rate=1e-4,
            save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
            use_cpu=True, max_grad_norm=1.0, weight_decay=0.01, bf16=is_narrow,
        )  # fmt: skip
        data = [{"input_ids": window, "attention_mask": [1] * len(window)} for window in windows]
        Trainer(
            model, arguments, train_dataset=data, data_collator=collate, callbacks=[clock]
        ).train()
        return clock.ended - clock.began, sum(counted[:steps])

    return run


def sides_of(learner: HiddenWordLearner, folder: Path) -> dict[str, Side]:
    """Return all sides by name."""
    wide = copy.copy(learner)
    wide.recipe = unstepped(learner.recipe)
    sides = {OURS: headstart_side(learner), OURS_FP32: headstart_side(wide)}
    for format_name in ("fp32", "bf16"):
        is_narrow = format_name == "bf16"
        sides[f"plain, {format_name}"] = plain_side(learner, is_narrow=is_narrow)
        for name, in_blocks in (("trainer", False), ("trainer-blocks", True)):
            side = trainer_side(learner, folder, in_blocks=in_blocks, is_narrow=is_narrow)
            sides[f"{name}, {format_name}"] = side
    return sides


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts")
    parser.add_argument("--text", help="column of a table")
    parser.add_argument("--start", default="scratch/bert-tiny")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=4096, help="of a step, about")
    said = parser.parse_args()
    torch.set_num_threads(1)
    learner = learner_of(said)
    assert isinstance(learner.module, MaskedWords)
    with tempfile.TemporaryDirectory() as folder:
        sides = sides_of(learner, Path(folder))
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for side in sides.values():
            side(1)
        names = list(sides)
        for number_of_round in range(said.rounds):
            turn = number_of_round % len(names)
            for name in names[turn:] + names[:turn]:
                seconds, masked = sides[name](said.steps)
                rates[name].append(masked / seconds)
            print({name: round(values[-1]) for name, values in rates.items()}, flush=True)
    lengths = learner.hider.inputs.lengths
    print(f"{said.start}, vocabulary {learner.words.tokenizer.vocab_size:,}, {len(lengths):,}")
    print(f"headstart's own choice: steps in {learner.recipe.stepped_precision}")
    print(f"windows of {lengths.mean():.1f} tokens, at most {lengths.max()}; {processor_name()}")
    rows = []
    for name, values in rates.items():
        against = [against_it(rates[ours], values) for ours in (OURS, OURS_FP32)]
        rows.append([name, f"{np.median(values):,.0f}", *against])
    header = ["side", "masked tokens a second", "headstart against it", "in fp32 against it"]
    print(markdown_table(header, rows))


def against_it(ours: list[float], theirs: list[float]) -> str:
    """Return the median of the ratios inside the rounds, and their range."""
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    return f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
