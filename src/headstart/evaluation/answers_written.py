"""How well a language model tells texts, and how near its own answers come: perplexity, ROUGE-L.

Perplexity a token depends on what cuts a text into tokens, so that it compares runs of one
tokenizer alone; perplexity a byte does not. Both are of sums over texts, and their intervals
resample texts, never tokens: those of one text stand and fall together. ROUGE-L is the library
rouge-score's, with words of any script: its own tokenizer knows Latin letters alone, and would
call two Chinese answers equal to nothing.

Source:
    C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004 (longest common
    subsequence, F1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from headstart.evaluation.clusters import as_groups
from headstart.evaluation.intervals import NUM_RESAMPLES, check_resamples
from headstart.evaluation.means import (
    MOST_LOG,
    plain_mean,
    raised,
    ratio_figure,
    studentised_interval,
    unit_sums,
    within,
)
from headstart.evaluation.records import Scores
from headstart.evaluation.shares import share_of
from headstart.events import note_once
from headstart.extras import install_command
from headstart.types import Figure

# letters and digits of scripts with blanks together; every other letter alone
_WORD = re.compile(r"[^\W_\u2e80-\U0003ffff]+|[\u2e80-\U0003ffff]", re.UNICODE)


@dataclass(frozen=True, eq=False)
class ToldTokens:
    """What was told of N texts, each array of shape (N,).

    Attributes:
        losses: Of the tokens of each, summed up, in nats.
        tokens: How many they are.
        right: How many of them were the likeliest.
        bytes: Of the text that they are.
    """

    losses: np.ndarray
    tokens: np.ndarray
    right: np.ndarray
    bytes: np.ndarray


class _Words:
    """A tokenizer as rouge-score wants one."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text in lower case."""
        return _WORD.findall(text.lower())


def score_answers(
    told: ToldTokens,
    said: Sequence[str],
    wanted: Sequence[str],
    places: np.ndarray,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
) -> Scores:
    """Measure what was told and written, every figure with its 95 % interval.

    Args:
        told: Of N texts.
        said: What was written of some of them.
        wanted: What should have been.
        places: Which of the N these are.
        seed: Seed of the draws.
        num_resamples: At least 40, or 0 for no intervals.
        groups: Whole numbers, shape (N,), the same for texts that belong together.

    Returns:
        ``perplexity`` and ``log_loss`` a token, ``byte_perplexity``, ``token_accuracy``, and where
        something was written ``exact_match`` and ``rouge_l``; tokens are there where some were
        told.
    """
    check_resamples(num_resamples)
    all_groups = as_groups(groups, len(told.losses))
    figures: dict[str, Figure] = {}
    if told.tokens.any():
        how = (all_groups, seed, num_resamples)
        loss = ratio_figure(told.losses, told.tokens, *how)
        figures["byte_perplexity"] = raised(ratio_figure(told.losses, told.bytes, *how))
        figures["perplexity"] = raised(loss)
        figures["log_loss"] = loss
        right = ratio_figure(told.right, told.tokens, *how)
        figures["token_accuracy"] = within(right, 0.0, 1.0)
    signature: dict[str, str] = {}
    if len(said):
        some = None if groups is None else as_groups(groups[places], len(places))
        figures["exact_match"] = share_of(exact_matches(said, wanted), some)
        each = rouge_l(said, wanted)
        if each is not None:
            units = unit_sums(each[None], some, seed)
            mean = studentised_interval(units, plain_mean, num_resamples=num_resamples, seed=seed)
            figures["rouge_l"] = within(mean, 0.0, 1.0)
            signature["rouge_l"] = _signature()
    num = None if all_groups is None else all_groups.num
    return Scores(len(told.losses), figures, num_groups=num, signature=signature)


def exact_matches(said: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Return whether each text is the wanted one but for blanks at its ends, bool, shape (N,)."""
    return np.array([a.strip() == b.strip() for a, b in zip(said, wanted, strict=True)], bool)


def rouge_l(said: Sequence[str], wanted: Sequence[str]) -> np.ndarray | None:
    """Return ROUGE-L of each text, in [0, 1], shape (N,); None, and said, without the library.

    Example:
        >>> rouge_l(["the cat sat"], ["the cat sat down"]).round(3).tolist()
        [0.857]
    """
    if find_spec("rouge_score") is None:
        note_once(
            "ROUGE-L of the answers is left out: 'rouge-score' is not installed. Install it: "
            f"{install_command('headstart[lm]')}.",
            cause="rouge",
        )
        return None
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=_Words())
    pairs = zip(wanted, said, strict=True)
    return np.array([scorer.score(a, b)["rougeL"].fmeasure for a, b in pairs], np.float64)


def _signature() -> str:
    from importlib.metadata import version

    return f"F1|words of any script in lower case|no stems|rouge-score:{version('rouge-score')}"


def answer_figures(sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return figures of sums over texts, each of shape (R,).

    Args:
        sums: ``items``, ``losses``, ``bytes``, ``exact`` and perhaps ``rouge``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "byte_perplexity": np.exp(np.minimum(sums["losses"] / sums["bytes"], MOST_LOG)),
            "exact_match": sums["exact"] / sums["items"],
        }
        if "rouge" in sums:
            found["rouge_l"] = sums["rouge"] / sums["items"]
    return found
