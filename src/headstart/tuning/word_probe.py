"""What tells of words begins with: an encoder that can, and a linear probe of single words.

Each word is a sample of the probe; those of one text belong together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from headstart.errors import StartError
from headstart.model import Model, run_batches
from headstart.preprocessing import WordFeaturePreprocess, WordPreprocess
from headstart.starts import Encoder
from headstart.tasks import Task, find_task
from headstart.training.contract import never, stoppable
from headstart.training.probing.probe import Probe, fit_probe
from headstart.types import Dataset, Inputs, Start
from headstart.types.ragged import Ragged

MOST_WORDS = 60_000  # that are learned from: 100 MB of MiniLM's features


def check_writes(encoder: Encoder, dataset: Dataset) -> None:
    """Refuse an encoder that writes no texts, where these are to be told.

    Args:
        encoder: Of a start.
        dataset: Says what is to be told.

    Raises:
        StartError: If so.
    """
    task = find_task(dataset.schema.task)
    if task.tells_texts and encoder.preprocess.kind != task.written_as:
        known = {
            "sequences": "an encoder–decoder of transformers in a folder (BART, Marian, T5)",
            "dialogues": "a decoder of transformers in a folder (GPT-2, Llama, Qwen 2)",
        }
        writes = "in another way" if hasattr(encoder.preprocess, "telling") else "no texts"
        raise StartError(
            f"'{encoder.start.address}' writes {writes}, and the task is {task.name}. Expected "
            f"{known[task.written_as]}, or {task.plain_start}. Choose one, such as --start "
            f"{task.plain_start}."
        )


def check_words(encoder: Encoder, dataset: Dataset) -> None:
    """Refuse an encoder that has nothing for the single words of a text, where these are told of.

    Args:
        encoder: Of a start.
        dataset: Says what is to be told.

    Raises:
        StartError: If so.
    """
    task = find_task(dataset.schema.task)
    if task.matches_texts and encoder.preprocess.kind != task.written_as:
        raise no_pair(encoder.start, task)
    if task.finds_texts and encoder.preprocess.kind != task.written_as:
        raise StartError(
            f"'{encoder.start.address}' tells nothing of single tokens, and {task.name} finds "
            "answers among them. Expected an encoder of transformers. Choose one, such as --start "
            "pip/all-minilm-l6-v2, or scratch/bert-tiny."
        )
    kinds = (WordPreprocess, WordFeaturePreprocess)
    if task.tells_words and not isinstance(encoder.preprocess, kinds):
        raise StartError(
            f"'{encoder.start.address}' gives one vector a text, and a {task.name} tells of each "
            "word. Expected an encoder of transformers. Choose one, such as --start "
            "pip/all-minilm-l6-v2, or scratch/linear-tagger."
        )


def no_pair(start: Start, task: Task) -> StartError:
    """Return the refusal of a start that reads one side of images with texts."""
    return StartError(
        f"'{start.address}' reads {start.modality}s alone, and the task is {task.name}, between "
        "images and texts. Expected a pair of encoders, IMAGES+TEXTS. Choose one, such as --start "
        f"{task.plain_start}."
    )


def probe_words(
    model: Model,
    train: Inputs,
    val: Inputs,
    *,
    deadline: float | None = None,
    stop_requested: Callable[[], bool] = never,
) -> Probe:
    """Fit a linear probe on the features of single words.

    Args:
        model: As it stands.
        train: Texts to learn from.
        val: Texts that the penalty is chosen by.
        deadline: As ``fit_probe`` takes it.
        stop_requested: Whether someone asked to stop.

    Returns:
        The probe; its logits are ragged, its score that of the task.

    Raises:
        StopRequested: If someone asked to stop before all features were there.
    """
    compute = stoppable(model.features, stop_requested)
    found = run_batches(model, train, compute, name="probe features", phase=None)
    of_val = run_batches(model, val, compute, phase=None)
    wanted, val_wanted = train.targets, val.targets
    assert isinstance(found, Ragged)
    assert isinstance(of_val, Ragged)
    assert isinstance(wanted, Ragged)
    assert isinstance(val_wanted, Ragged)
    fitted = fit_probe(
        found.whole,
        wanted.whole,
        of_val.whole,
        val_wanted.whole,
        task=model.task.name,
        num_outputs=model.num_outputs,
        deadline=deadline,
        groups=(_rows(wanted, 0), _rows(val_wanted, len(wanted))),
    )
    logits = Ragged(np.asarray(fitted.val_logits), val_wanted.offsets - val_wanted.offsets[0])
    score, _ = model.task.validation_score(logits, val_wanted)
    return replace(fitted, val_logits=logits, val_score=score)


def _rows(rows: Ragged, first: int) -> np.ndarray:
    """Return which text each word is of, numbered from ``first``."""
    return first + np.repeat(np.arange(len(rows)), rows.lengths)
