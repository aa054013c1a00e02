"""What the training options may be; everything that is wrong is told in one sentence.

Ranges, choices and what an option applies to are read from where it is stated
(``training_options``); here is what no option can say alone: which of them contradict each other.
What the options do is ``recipe``'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real

from headstart.cells import plain
from headstart.errors import OptionError, did_you_mean, quoted
from headstart.tasks import find_task
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.option import Stated, stated
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.training.options.strategies import AUTO, STRATEGIES, Strategy
from headstart.training.options.training_options import TrainingOptions
from headstart.types import MODALITIES, Schema, Start, is_among


def check_options(options: CommonOptions) -> None:
    """Refuse what can be refused before data and start are known.

    Args:
        options: As the user said them; ``auto`` is left to later.

    Raises:
        OptionError: Naming everything that is wrong, all at once: values out of range, unknown
            choices, options that contradict each other or that the strategy has no use for.
    """
    wrong = _values(options)
    strategy = STRATEGIES.get(options.strategy)
    if strategy is not None:
        wrong += _of_strategy(options, strategy)
    _refuse(wrong, "Change these options.")


def check_values(options: TrainingOptions, *, num_layers: int) -> None:
    """Refuse values out of range, unknown choices, and options that contradict each other.

    What a strategy has no use for passes: whoever tries one for another may have said it.

    Args:
        options: With the strategy that was settled.
        num_layers: Layers of the encoder.

    Raises:
        OptionError: Naming everything that is wrong, all at once.
    """
    wrong = _values(options)
    num_last = _number(options.num_last_layers)
    if num_last is not None and num_last > num_layers:
        wrong.append(
            f"num_last_layers is {num_last:g}, expected 1 to {num_layers}, the layers of this "
            f"encoder"
        )
    _refuse(wrong, "Change these options.")


def check_applies(
    options: CommonOptions,
    schema: Schema,
    start: Start | None = None,
    *,
    strategy: Strategy | None = None,
    is_built: bool = False,
) -> None:
    """Refuse options that mean nothing for these data, this start or this strategy.

    Args:
        options: As the user said them.
        schema: Modality and task.
        start: The start; None where it is still to be chosen.
        strategy: What learns; None where it is still to be chosen.
        is_built: Whether the start is a module of the user's own, which is there already.

    Raises:
        OptionError: Naming everything that is wrong, all at once; or if the task is unknown.
    """
    of = _said(options)
    modality, has_captions = schema.modality, find_task(schema.task).matches_texts
    wrong = [
        f"{_are(names)} for {' and '.join(f'{each}s' for each in place)}, and this data holds "
        f"{modality}s"
        for place, names in _grouped((one.option.modalities, one) for one in of)
        if not is_among(schema, place) and not (has_captions and _of_words(place))
    ]
    if start is not None and not wrong:
        wrong += [
            f"{_are(names)} for starts of family {quoted(place)}, and '{start.address}' is of "
            f"family '{start.family}'"
            for place, names in _grouped((one.option.families, one) for one in of)
            if start.family not in place
        ]
    if names := [one.name for one in of if one.option.builds and is_built]:
        word = "say" if len(names) > 1 else "says"
        wrong.append(f"{', '.join(names)} {word} how a start is built, and yours is built already")
    mixes = [name for name in ("mixup", "cutmix") if getattr(options, name, None)]
    if schema.beside and mixes:
        wrong.append(
            f"{_are(mixes)} for images alone, and columns stand beside these, which cannot be mixed"
        )
    wrong += find_task(schema.task).option_problems(vars(options))
    if strategy is not None:
        wrong += _of_strategy(options, strategy)
    _refuse(wrong, "Leave these options out.")


def _of_words(modalities: Iterable[str]) -> bool:
    """Return whether some of these are words, as captions are."""
    return any(facts.has_words for name, facts in MODALITIES.items() if name in modalities)


def check_pretraining(options: PretrainingOptions) -> None:
    """Refuse what can be refused of a pretraining before its data are known.

    Args:
        options: As the user said them.

    Raises:
        OptionError: Naming everything that is wrong, all at once: values out of range, unknown
            choices, options that contradict each other or that the objective has no use for.
    """
    wrong = _values(options) + _contradictions(options)
    said, objective = _said(options), str(options.objective)
    wrong += [
        f"{_are(names)} for objective {quoted(place)}, not '{objective}'"
        for place, names in _grouped((one.option.objectives, one) for one in said)
        if objective not in place
    ]
    _refuse(wrong, "Change these options.")


def changing_no_result() -> frozenset[str]:
    """Return the options that may change when a run is resumed."""
    of = stated(TrainingOptions)
    return frozenset(name for name, one in of.items() if not one.option.changes_result)


def steps_asked(options: CommonOptions) -> list[str]:
    """Return the options that were said and that only gradient steps can serve."""
    return [
        one.name for one in _said(options) if one.option.needs == "loops" and one.option.teaches
    ]


def _refuse(wrong: Sequence[str], advice: str) -> None:
    if wrong:
        end = "" if wrong[-1].endswith("?") else "."
        raise OptionError("; ".join(wrong) + f"{end} {advice}")


# What an option says of itself ------------------------------------------------------------------


def _said(options: CommonOptions | PretrainingOptions) -> list[Stated]:
    """Return the options that ask for something, in the order they are stated in."""
    of = stated(type(options))
    return [one for name, one in of.items() if one.is_said(getattr(options, name))]


def _values(options: CommonOptions | PretrainingOptions) -> list[str]:
    of = stated(type(options)).values()
    values = [(one, getattr(options, one.name)) for one in of]
    wrong = [problem for one, value in values if (problem := _out_of_range(one, value))]
    wrong += [problem for one, value in values if (problem := _unknown(one, value))]
    wrong += [problem for one, value in values if (problem := _no_switch(one, value))]
    wrong += _range_problems(options.value_range)
    if isinstance(options, TrainingOptions):
        wrong += _contradictions(options) + _unsplittable(options)
    return wrong


def _range_problems(value: Sequence[float] | None) -> list[str]:
    """Say what is wrong with the values that become black and white."""
    if value is None:
        return []
    numbers = [] if isinstance(value, str) else [_number(one) for one in value]
    if len(numbers) == 2 and None not in numbers:
        low, high = (float(n or 0) for n in numbers)
        if math.isfinite(low) and math.isfinite(high) and low < high:
            return []
    return [f"value_range is {value!r}, expected two ascending numbers, such as 0 and 4095"]


def _out_of_range(one: Stated, value: object) -> str | None:
    """Return why a number is none that the option takes; None where it is, or takes no number."""
    low, high = one.option.low, one.option.high
    if low is None or (value is None and type(None) in one.members):
        return None
    limit = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
    kind = "a number" if float in one.members else "a whole number"
    number = _number(value)
    if number is None or (float not in one.members and not isinstance(value, Integral)):
        return f"{one.name} is {value!r}, expected {kind}, {limit}"
    if not (math.isfinite(number) and low <= number <= (math.inf if high is None else high)):
        return f"{one.name} is {number:g}, expected {limit}"
    return None


def _no_switch(one: Stated, value: object) -> str | None:
    """Return that a value is neither yes nor no; None where it is, or the option is no switch."""
    if bool not in one.members or not set(one.members) <= {bool, type(None)}:
        return None
    if isinstance(plain(value), bool) or (value is None and type(None) in one.members):
        return None
    return f"{one.name} is {value!r}, expected True or False"


def _unknown(one: Stated, value: object) -> str | None:
    """Return that a choice is none of those there are; None where it is, or is no choice."""
    known = [str(choice) for choice in one.choices if choice != AUTO]
    if not known or value in one.choices or (value is None and type(None) in one.members):
        return None
    hint = did_you_mean(str(value), known)
    return f"{one.name} is '{value}', expected {quoted(known)}.{hint}".rstrip(".")


def _grouped(
    places: Iterable[tuple[tuple[str, ...], Stated]],
) -> list[tuple[tuple[str, ...], list[str]]]:
    """Return the names of the options for each place that some of them are for."""
    found: dict[tuple[str, ...], list[str]] = {}
    for place, one in places:
        if place:
            found.setdefault(place, []).append(one.name)
    return list(found.items())


def _of_strategy(options: CommonOptions, strategy: Strategy) -> list[str]:
    """Say which options a strategy has no use for, and who has.

    One that says only how steps are computed asks for none: where the strategy was not the user's
    own choice it passes.
    """
    is_chosen = options.strategy == AUTO
    needed = [
        ((one.option.needs,), one)
        for one in _said(options)
        if one.option.needs and (one.option.teaches or not is_chosen)
    ]
    wrong = []
    for (trait,), names in _grouped(needed):
        if getattr(strategy, trait):
            continue
        able = [name for name, other in STRATEGIES.items() if getattr(other, trait)]
        if len(able) > len(STRATEGIES) // 2:
            wrong.append(f"strategy '{strategy.name}' has no use for {', '.join(names)}")
        else:
            wrong.append(f"{_are(names)} for strategy {quoted(able)}, not '{strategy.name}'")
    if options.imbalance == "oversample" and not strategy.loops:
        wrong.append(
            f"strategy '{strategy.name}' cannot oversample, expected imbalance 'weights' or 'none'"
        )
    return wrong


def _are(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}"


# What options say together ----------------------------------------------------------------------


_EXCLUSIVE = (("num_epochs", "num_steps"), ("learning_rate", "learning_rate_search"))


def _contradictions(options: TrainingOptions | PretrainingOptions) -> list[str]:
    names = {one.name for one in _said(options)}
    wrong = [
        f"{first} and {second} are both set, expected one of them"
        for first, second in _EXCLUSIVE
        if {first, second} <= names
    ]
    batch, micro = _number(options.batch_size), _number(options.micro_batch_size)
    if batch is not None and micro is not None and micro > 0 and batch % micro:
        wrong.append(f"batch_size {batch:g} is not divisible by micro_batch_size {micro:g}")
    return wrong


def _unsplittable(options: TrainingOptions) -> list[str]:
    """Say what needs a whole network where the weights are split over the processes."""
    is_tensor = (_number(options.tensor_parallel_size) or 1) > 1
    if not options.fsdp and not is_tensor:
        return []
    strategy = STRATEGIES.get(options.strategy)
    needs_whole = [name for name in ("compile", "l1_penalty") if getattr(options, name)]
    needs_whole += ["precision 'fp16'"] if options.precision == "fp16" else []
    if strategy is not None and (strategy.is_in_four_bits or (is_tensor and strategy.adapters)):
        needs_whole.append(f"strategy '{strategy.name}'")
    which = "tensor_parallel_size" if is_tensor else "fsdp"
    return [f"{which} splits the weights, which {name} cannot do with" for name in needs_whole]


def _number(value: object) -> float | None:
    """Return a number of any library as a float, None for everything else."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
