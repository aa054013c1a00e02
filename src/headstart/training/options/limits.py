"""What the training options may be; everything that is wrong is told in one sentence.

It knows names, ranges and contradictions, not what the options do: that is ``recipe.py``'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.tasks import find_task
from headstart.types import Schema

# (option, lowest, highest): what a number may be; None is open.
_RANGES: list[tuple[str, float, float | None]] = [
    ("learning_rate", 0.0, None),
    ("head_multiplier", 0.0, None),
    ("bottom_multiplier", 0.0, 1.0),
    ("weight_decay", 0.0, None),
    ("l1_penalty", 0.0, None),
    ("warmup_fraction", 0.0, 0.9),
    ("cooldown_fraction", 0.0, 1.0),
    ("batch_size", 1, None),
    ("micro_batch_size", 1, None),
    ("num_last_layers", 1, None),
    ("num_epochs", 1e-6, None),
    ("num_steps", 1, None),
    ("label_smoothing", 0.0, 0.99),
    ("dropout", 0.0, 0.99),
    ("drop_path", 0.0, 0.99),
    ("mixup", 0.0, None),
    ("cutmix", 0.0, None),
    ("clip", 0.0, None),
    ("patience", 0, None),
    ("views", 0, 64),
    ("num_workers", 0, 64),
    ("tensor_parallel_size", 1, None),
]


# A word that may stand in place of a number: what it means is settled before the training.
_WORDS = {"learning_rate": "grid"}


# What only the training loop reads, with what an option is when nothing was said.
_LOOP_ONLY: dict[str, object] = {
    "num_epochs": None,
    "num_steps": None,
    "batch_size": None,
    "micro_batch_size": None,
    "optimizer": None,
    "learning_rate": None,
    "head_multiplier": None,
    "bottom_multiplier": None,
    "weight_decay": None,
    "l1_penalty": 0.0,
    "schedule": None,
    "warmup_fraction": None,
    "cooldown_fraction": 0.2,
    "label_smoothing": None,
    "dropout": 0.0,
    "drop_path": None,
    "mixup": None,
    "cutmix": 0.0,
    "augment": None,
    "clip": 1.0,
    "ema": None,
    "patience": None,
    "precision": None,
    "batchnorm": None,
    "compile": False,
    "views": None,
    "num_workers": None,
    "fsdp": None,
    "tensor_parallel_size": 1,
}

# Of these, what says how the steps are computed and not what they learn.
_HOW = {
    "micro_batch_size",
    "precision",
    "compile",
    "views",
    "num_workers",
    "fsdp",
    "tensor_parallel_size",
}


def steps_asked(said: Mapping[str, object]) -> list[str]:
    """Return the options that were said and that only gradient steps can serve.

    Args:
        said: Options by name; None and ``auto`` are unsaid.
    """
    return [
        name
        for name, unsaid in _LOOP_ONLY.items()
        if name not in _HOW and said.get(name, unsaid) not in (unsaid, "auto")
    ]


def check_limits(
    said: Mapping[str, object],
    choices: Mapping[str, Sequence[str]],
    *,
    num_layers: int | None = None,
) -> None:
    """Refuse values out of range, unknown choices, and options that contradict each other.

    Args:
        said: Options by name; None means that nothing was said.
        choices: For each option that names something, the names there are.
        num_layers: Layers of the encoder, where it is known already.

    Raises:
        OptionError: Naming everything that is wrong, all at once.
    """
    wrong = [*_out_of_range(said), *_unknown(said, choices), *_contradictions(said)]
    num_last = _number(said.get("num_last_layers"))
    if num_last is not None and num_layers is not None and num_last > num_layers:
        wrong.append(
            f"num_last_layers is {num_last:g}, expected 1 to {num_layers}, the layers of this "
            f"encoder"
        )
    if wrong:
        end = "" if wrong[-1].endswith("?") else "."
        raise OptionError("; ".join(wrong) + f"{end} Change these options.")


# Options that only images know, with what each is when nothing was said.
_IMAGE_ONLY: dict[str, object] = {
    "mixup": None,
    "cutmix": 0.0,
    "augment": "auto",
    "input_size": None,
    "drop_path": None,
}


def check_modality(said: Mapping[str, object], schema: Schema) -> None:
    """Refuse options that mean nothing for this kind of data.

    Args:
        said: Options by name.
        schema: Modality and task.

    Raises:
        OptionError: Naming everything that is wrong, all at once; or if the task is unknown.
    """
    wrong = []
    if schema.modality != "image":
        unsaid = {None, "none", 0.0}
        used = [
            name
            for name, default in _IMAGE_ONLY.items()
            if said.get(name, default) != default and said.get(name) not in unsaid
        ]
        if used:
            wrong.append(
                f"{', '.join(used)} are for images, and this data holds {schema.modality}s"
            )
    wrong += find_task(schema.task).option_problems(said)
    if wrong:
        raise OptionError("; ".join(wrong) + ". Leave these options out.")


def _out_of_range(said: Mapping[str, object]) -> list[str]:
    wrong = []
    for name, low, high in _RANGES:
        value, word = said.get(name), _WORDS.get(name)
        if value is None or (word is not None and value == word):
            continue
        limit = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
        limit += f", or '{word}'" if word else ""
        number = _number(value)
        if number is None:
            wrong.append(f"{name} is {value!r}, expected a number, {limit}")
        elif not (math.isfinite(number) and low <= number <= (math.inf if high is None else high)):
            wrong.append(f"{name} is {number:g}, expected {limit}")
    return wrong


def _unknown(said: Mapping[str, object], choices: Mapping[str, Sequence[str]]) -> list[str]:
    wrong = []
    for name, known in choices.items():
        value = said.get(name)
        if value is not None and value not in known:
            hint = did_you_mean(str(value), known)
            wrong.append(f"{name} is '{value}', expected {quoted(known)}.{hint}".rstrip("."))
    return wrong


def _contradictions(said: Mapping[str, object]) -> list[str]:
    wrong = []
    strategy = said.get("strategy")
    if strategy == "head":
        # the head is solved for, on features computed once: no loop reads these
        ignored = [n for n, unsaid in _LOOP_ONLY.items() if said.get(n, unsaid) != unsaid]
        if ignored:
            wrong.append(f"strategy 'head' has no use for {', '.join(ignored)}")
        if said.get("imbalance") == "oversample":
            wrong.append(
                "strategy 'head' cannot oversample, expected imbalance 'weights' or 'none'"
            )
    if strategy is not None and strategy != "last-n" and said.get("num_last_layers") is not None:
        wrong.append(f"num_last_layers is for strategy 'last-n', not '{strategy}'")
    if said.get("num_epochs") is not None and said.get("num_steps") is not None:
        wrong.append("num_epochs and num_steps are both set, expected one of them")
    batch, micro = _number(said.get("batch_size")), _number(said.get("micro_batch_size"))
    if batch is not None and micro is not None and micro > 0 and batch % micro:
        wrong.append(f"batch_size {batch:g} is not divisible by micro_batch_size {micro:g}")
    return wrong + _unsplittable(said)


def _unsplittable(said: Mapping[str, object]) -> list[str]:
    """Say what needs a whole network where the weights are split over the processes."""
    is_tensor = (_number(said.get("tensor_parallel_size")) or 1) > 1
    if not said.get("fsdp") and not is_tensor:
        return []
    unlike = {"compile": said.get("compile"), "l1_penalty": said.get("l1_penalty")}
    needs_whole = [name for name, value in unlike.items() if value]
    needs_whole += ["precision 'fp16'"] if said.get("precision") == "fp16" else []
    needs_whole += ["strategy 'lora'"] if is_tensor and said.get("strategy") == "lora" else []
    which = "tensor_parallel_size" if is_tensor else "fsdp"
    return [f"{which} splits the weights, which {name} cannot do with" for name in needs_whole]


def _number(value: object) -> float | None:
    """Return a number of any library as a float, None for everything else."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
