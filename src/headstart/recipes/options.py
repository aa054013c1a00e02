"""How a verb takes its options: a record states them, and the verb's signature and help follow.

``RunOptions`` are those of every verb that makes a run, beside what a training takes; each verb's
own record adds what is its own. ``takes`` makes the public function of a record and a body: for a
type checker and an editor it has the record's own signature, with types and defaults; for
``inspect.signature``, ``help`` and the command line too, with a sentence for each. No torch.
"""

# Annotations are read when the module is: ``option.stated`` wants the ``Option`` in them.

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, replace
from datetime import timedelta
from functools import wraps
from textwrap import fill, indent
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

from headstart.cells import plain
from headstart.errors import OptionError, quoted
from headstart.events import quietly
from headstart.recipes.launching import launch_if_asked
from headstart.tracking import TrackerName
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.option import Option, Stated, stated
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.training.options.training_options import TrainingOptions
from headstart.types import Data, ImageSpec

if TYPE_CHECKING:
    from torch import nn

P = ParamSpec("P")
Stating = TypeVar("Stating")
R = TypeVar("R")
_WIDTH = 88  # of the lines of a docstring, after its indentation
_LAST = (
    "device",
    "num_processes",
    "seed",
    "resume",
    "overwrite",
    "dry_run",
    "log",
    "quiet",
    "spec",
)  # at the end of a help

QUIET_SENTENCE = "Show no progress."
_BUDGET = Option(sentence="Hard limit of the whole command, for example 90s, 10m or 2h.")


@dataclass(frozen=True, kw_only=True, eq=False)
class SpokenOptions:
    """How much a verb says while it works: of every verb."""

    quiet: Annotated[bool, Option(sentence=QUIET_SENTENCE, is_kept=False)] = False


@dataclass(frozen=True, kw_only=True, eq=False)
class LaunchOptions(SpokenOptions):
    """How many processes a command starts: of every verb that several do together."""

    num_processes: Annotated[
        int,
        Option(
            sentence="Processes on this machine that do it together, started by PyTorch's own "
            "launcher; with CUDA one GPU each. From Python start the program with torchrun.",
            low=1,
            is_kept=False,
        ),
    ] = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class RunOptions(LaunchOptions):
    """What every verb that makes a run takes, beside what a training takes."""

    data: Annotated[
        Data,
        Option(
            sentence="Images, texts or a table: a folder with a folder per class, a CSV, Parquet "
            "or JSONL file, a name such as digits, or (from Python) a Dataset, a DataFrame or "
            "(X, y) arrays.",
            is_kept=False,
        ),
    ] = field(kw_only=False)
    out: Annotated[
        str | None,
        Option(sentence="Run folder to write; runs/<data> when not given.", is_kept=False),
    ] = None
    resume: Annotated[
        bool,
        Option(
            sentence="Go on with the unfinished run in out; fit also with a finished one where the "
            "budget is larger.",
            is_kept=False,
        ),
    ] = False
    overwrite: Annotated[bool, Option(sentence="Replace what stands in out.", is_kept=False)] = (
        False
    )
    log: Annotated[
        Sequence[TrackerName] | None,
        Option(
            sentence="Where losses and figures are written while it runs, too: csv (scalars.csv in "
            "the run folder), tensorboard, mlflow, wandb or trackio; several may be named.",
            is_kept=False,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        Option(
            sentence="Show what every stage may take of the budget, and end: nothing is trained or "
            "written.",
            is_kept=False,
        ),
    ] = False


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgingOptions:
    """What is asked of the answers of a run, and of its figures, beside a training."""

    threshold: Annotated[
        str | None,
        Option(
            sentence="What decision thresholds are tuned for on val, of two classes or of several "
            "labels: f1, recall@precision=0.9, precision@recall=0.9, or cost=1:10, the costs of a "
            "false alarm and of a miss; 0.5 when not given.",
            measured="for f1 macro-F1 +15.9 points and accuracy -3.7 on a table at 20:1, nothing "
            "gained at 3:1",
        ),
    ] = None
    positive: Annotated[
        str | None,
        Option(sentence="Which of two classes the threshold is of; the second when not given."),
    ] = None
    coverage: Annotated[
        float,
        Option(
            sentence="How often the sets of classes that predict tells, or the intervals of "
            "numbers, hold the truth; 0 tells none.",
            low=0.0,
            high=0.999,
        ),
    ] = 0.9
    costs: Annotated[
        str | None,
        Option(
            sentence="What answers cost, of several classes: a CSV with a column for each class "
            "that is answered and a row, named in its first cell, for each that is right. The "
            "answer with the smallest expected cost is given; the most probable class when not "
            "given."
        ),
    ] = None
    reject: Annotated[
        str | None,
        Option(
            sentence="When predict says unknown: risk=0.02 answers only as far as val shows that "
            "at most 2 of 100 answers are wrong, confidence=0.8 from that probability on; never "
            "when not given."
        ),
    ] = None
    answer_tokens: Annotated[
        int | None,
        Option(
            sentence="Where answers are found in a context: tokens that one has at the most; 30 "
            "when not given.",
            low=1,
            high=1_000,
        ),
    ] = None
    folds: Annotated[
        int | None,
        Option(
            sentence="Cross-validation: so many further runs, each tested on its part of the data, "
            "give figures over all items; what is served is the run itself.",
            low=2,
        ),
    ] = None
    train_on_all: Annotated[
        bool,
        Option(
            sentence="After the folds train once more, on all samples together, as many steps as "
            "the folds took to their best, and leave that model in repeats/all, for predict and "
            "serve; the figures that hold of it are those of the folds. fit makes what it hands "
            "over so, which is then a single model."
        ),
    ] = False
    seeds: Annotated[
        int | None,
        Option(
            sentence="Train with so many seeds, from seed on, on the same splits: the spread, and "
            "intervals that cover seeds and test items; what is served is the first.",
            low=2,
        ),
    ] = None
    learning_curve: Annotated[
        bool,
        Option(
            sentence="Train on parts of the training data, too, and tell what twice as much would "
            "bring."
        ),
    ] = False


@dataclass(frozen=True, kw_only=True, eq=False)
class FinetuneOptions(RunOptions, JudgingOptions, TrainingOptions):
    """What ``finetune`` takes."""

    start: Annotated[
        "str | nn.Module",
        Option(
            sentence="Address of the start, for example timm/resnet18, scratch/simple-cnn, "
            "pip/all-minilm-l6-v2, scratch/linear, or a run folder; from Python also a module that "
            "maps images (B, C, S, S) to features (B, D), with its spec, or what wrap_module made "
            "of one."
        ),
    ]
    budget: Annotated[str | None, _BUDGET] = None
    spec: Annotated[
        ImageSpec | None,
        Option(sentence="Preprocessing of a module given as start.", is_kept=False),
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class FitOptions(RunOptions, JudgingOptions, CommonOptions):
    """What ``fit`` takes."""

    budget: Annotated[str, _BUDGET] = "10m"
    starts: Annotated[
        Sequence[str] | None,
        Option(
            sentence="Addresses of the candidates; when not given, those that are on this machine."
        ),
    ] = None
    single: Annotated[
        bool,
        Option(
            sentence="Hand over one model; when not given, up to three that answer together, where "
            "val says that this is better and a pass takes no more than twice as long."
        ),
    ] = False


@dataclass(frozen=True, kw_only=True, eq=False)
class PretrainOptions(RunOptions, PretrainingOptions):
    """What ``pretrain`` takes."""

    budget: Annotated[str | None, _BUDGET] = None


def takes(record: Callable[P, Stating]) -> Callable[[Callable[[Stating], R]], Callable[P, R]]:
    """Return a decorator that makes a public function of a body that takes a record of options.

    Args:
        record: A dataclass of options; what it takes the function takes.
    """
    assert isinstance(record, type)
    options = _in_order(record)

    def decorate(body: Callable[[Stating], R]) -> Callable[P, R]:
        @wraps(body)
        def verb(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                _refuse_for_load(verb.__name__, kwargs, signature)
                raise TypeError(f"{verb.__name__}(): {error}") from None
            said = record(*map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()})
            said = replace(said, **_as_several(said, options))
            launch_if_asked(verb.__name__, getattr(said, "num_processes", 1))
            with quietly(bool(getattr(said, "quiet", False))):
                return body(said)

        returned = inspect.signature(body).return_annotation
        signature = inspect.Signature(
            [_parameter(one) for one in options], return_annotation=returned
        )
        verb.__signature__ = signature  # type: ignore[attr-defined]
        verb.__doc__ = _documented(inspect.getdoc(body) or "", options)
        return verb

    return decorate


def _as_several(said: object, options: Sequence[Stated]) -> dict[str, tuple[str, ...]]:
    """Return the options that take several names and were given one as it is, as one of several."""
    values = {one.name: getattr(said, one.name) for one in options if one.takes_names}
    return {name: (value,) for name, value in values.items() if isinstance(value, str)}


def _plain(value: Any) -> Any:
    """Return what can be written down: of a length of time its seconds, of NumPy a number."""
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return plain(value)


def _refuse_for_load(verb: str, given: Mapping[str, object], signature: inspect.Signature) -> None:
    """Refuse what is said where data is read, with the call that says it there."""
    from headstart.data import load

    known = inspect.signature(load).parameters
    if wrong := [name for name in given if name not in signature.parameters and name in known]:
        said = ", ".join(f"{name}={given[name]!r}" for name in wrong)
        raise OptionError(
            f"{verb}() takes no {quoted(wrong)}; expected it where the data is read: "
            f"{verb}(hs.load(data, {said}), …)."
        )


def _in_order(record: type) -> list[Stated]:
    """Return what a record states: the data, what is the verb's own, then what a training takes."""
    of = stated(record)
    training = stated(TrainingOptions)
    own = [name for name in [*record.__annotations__, *of] if name not in training]
    names = [name for name in dict.fromkeys([*own, *of]) if name not in _LAST]
    names.sort(key=lambda name: not of[name].is_positional)
    return [of[name] for name in [*names, *(name for name in _LAST if name in of)]]


def _parameter(one: Stated) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(
        one.name,
        kind if one.is_positional else inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if one.default is MISSING else one.default,
        annotation=one.annotation,
    )


def _documented(text: str, options: list[Stated]) -> str:
    """Return a docstring with the arguments in front of what it says of what is returned."""
    told = [
        fill(
            f"{one.name}: {one.option.told}",
            _WIDTH,
            subsequent_indent="    ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        for one in options
    ]
    arguments = "Args:\n" + indent("\n".join(told), "    ")
    before, returns, after = text.partition("Returns:\n")
    assert returns, "a verb says what it returns"
    return f"{before}{arguments}\n\n{returns}{after}"
