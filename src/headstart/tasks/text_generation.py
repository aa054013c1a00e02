"""Texts that a decoder writes: answers to prompts and in chats, or texts as they are.

What counts is how likely the wanted text is, since many answers are right: perplexity a byte leads,
which no vocabulary changes; beside it stand perplexity a token and, of what was written, exact
match and ROUGE-L. A training is chosen by the likelihood of a token, the inverse of the perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.errors import UnlabelledError
from headstart.evaluation import NUM_RESAMPLES, ItemSums, Scores, compare_values
from headstart.evaluation.answers_written import (
    ToldTokens,
    answer_figures,
    exact_matches,
    rouge_l,
    score_answers,
)
from headstart.evaluation.clusters import as_groups
from headstart.evaluation.means import MOST_LOG, ratio_figure
from headstart.tasks.plain import array_of
from headstart.tasks.told_texts import TextTask, told_of, written
from headstart.tasks.words import Pairing, TaskWords
from headstart.types import Comparison, Figure, Measure, Rows, Schema
from headstart.types.texts import told_rows


@dataclass(frozen=True, eq=False, kw_only=True)
class GenerationTask(TextTask):
    """A text that is told token by token: decisions are rows of ``TOLD`` as outputs are."""

    is_chosen_by_texts: bool = False

    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse answers that are all the same text."""
        if len(set(array_of(targets).tolist())) < 2:
            raise UnlabelledError(
                f"{name} has one and the same answer everywhere; there is nothing to learn. Name "
                "another column with --label."
            )

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return the geometric mean of the tokens' probabilities, and its error over texts."""
        told = told_of(logits)
        losses, tokens = told["loss"], told["num_tokens"].astype(np.float64)
        if not np.isfinite(losses).all():
            return math.nan, math.nan
        mean = losses.sum() / max(tokens.sum(), 1.0)
        spread = losses - mean * tokens
        error = math.sqrt(float((spread**2).sum())) / max(tokens.sum(), 1.0)
        likelihood = math.exp(-min(mean, MOST_LOG))
        return likelihood, likelihood * error

    def decisions(self, outputs: Rows) -> Rows:
        """Return what was told, tokens and text: both are judged."""
        return told_of(outputs)

    def scores(
        self,
        outputs: Rows,
        targets: Rows,
        schema: Schema,
        *,
        seed: int = 0,
        num_resamples: int = NUM_RESAMPLES,
        groups: np.ndarray | None = None,
        decisions: Rows | None = None,
    ) -> Scores:
        """Measure as ``score_answers``."""
        told = told_of(outputs)
        said, wanted, places = written(told["text"], targets)
        found = score_answers(
            tokens_of(told, targets),
            said,
            wanted,
            places,
            seed=seed,
            num_resamples=num_resamples,
            groups=groups,
        )
        kept = {name: found.figures[name] for name in self.figures if name in found.figures}
        return replace(found, figures=kept)

    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return perplexity a byte."""
        tokens = tokens_of(_as_told(decisions), targets)
        some = as_groups(groups, len(tokens.losses))
        loss = ratio_figure(tokens.losses, tokens.bytes, some, seed, NUM_RESAMPLES)
        return Figure(*(math.exp(min(end, MOST_LOG)) for end in (loss.value, loss.low, loss.high)))

    def compare(
        self,
        before: str,
        before_decisions: Rows,
        after: str,
        after_decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Comparison:
        """Compare the losses a byte, text by text."""
        first, second = (self._each(rows, targets) for rows in (before_decisions, after_decisions))
        zero = np.zeros(len(first))
        found = compare_values(before, first, after, second, zero, seed=seed, groups=groups)
        return replace(found, metric="byte_loss")

    def _each(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return the loss a byte of each text."""
        tokens = tokens_of(_as_told(decisions), targets)
        found: np.ndarray = tokens.losses / np.maximum(tokens.bytes, 1)
        return found

    def item_sums(
        self, decisions: Rows, targets: Rows, schema: Schema, losses: np.ndarray
    ) -> ItemSums:
        """Sum up losses a byte, as ``predictions.parquet`` has them, and what was written."""
        from scipy.sparse import csr_array

        told, wanted = _as_told(decisions), array_of(targets).tolist()
        said = [text or "" for text in told["text"]]
        sizes = np.array([max(1, _num_bytes(text)) for text in wanted], np.float64)
        exact = exact_matches(said, wanted).astype(np.float64)
        names, each = ["items", "losses", "bytes", "exact"], rouge_l(said, wanted)
        rows = [np.ones(len(said)), losses * sizes, sizes, exact]
        if each is not None:
            names.append("rouge")
            rows.append(each)

        def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
            return answer_figures(dict(zip(names, sums, strict=True)))

        return ItemSums(csr_array(np.stack(rows)), figures)

    def item_errors(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return the loss a byte of each text; where none was told, how far its words are."""
        told = _as_told(decisions)
        if told["num_tokens"].any() or told["num_bytes"].any():
            return self._each(told, targets)
        said, wanted = [text or "" for text in told["text"]], array_of(targets).tolist()
        each = rouge_l(said, wanted)
        near = exact_matches(said, wanted).astype(np.float64) if each is None else each
        found: np.ndarray = 1.0 - near
        return found

    def baseline(self, train_targets: Rows, targets: Rows, schema: Schema) -> tuple[str, Rows]:
        """Tell each byte, and the end, by how often train has it."""
        counts = np.ones(257)  # each once more than it was seen
        for text in array_of(train_targets).tolist():
            counts[:256] += np.bincount(_bytes(text), minlength=256)
            counts[256] += 1
        losses = -np.log(counts / counts.sum())
        wanted = array_of(targets).tolist()
        told = [float(losses[_bytes(text)].sum() + losses[256]) for text in wanted]
        sizes = np.array([_num_bytes(text) + 1 for text in wanted], np.int64)
        found = told_rows([None] * len(wanted), np.array(told), sizes)
        found["num_bytes"] = sizes - 1
        return "how often train has each byte", found

    # What a person reads ------------------------------------------------------------------------

    def recalled(self, decisions: Rows, losses: np.ndarray, targets: Rows) -> Rows:
        """Return the texts as rows of what was told, the losses a byte among it."""
        found = told_rows(array_of(decisions).tolist())
        found["num_bytes"] = [_num_bytes(text) for text in array_of(targets).tolist()]
        found["loss"] = losses * np.maximum(found["num_bytes"], 1)
        return found

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return the loss a byte of each text."""
        return self._each(outputs, targets)


def tokens_of(told: np.ndarray, targets: Rows) -> ToldTokens:
    """Return what was told of texts; where nobody has counted bytes, those of the targets."""
    sizes = told["num_bytes"].astype(np.float64)
    if not sizes.any():
        sizes = np.array([_num_bytes(text) for text in array_of(targets).tolist()], np.float64)
    return ToldTokens(told["loss"], told["num_tokens"], told["num_right"], np.maximum(sizes, 1.0))


def _as_told(decisions: Rows) -> np.ndarray:
    """Return rows of ``TOLD``, of texts alone without tokens."""
    found = array_of(decisions)
    return told_rows(found.tolist()) if found.dtype == object else told_of(found)


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(errors="replace"), np.uint8)


def _num_bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


_FIGURES: Mapping[str, Measure] = {
    "byte_perplexity": Measure(
        "perplexity a byte", "lower is better; 1 is certainty, 256 knowing nothing", False
    ),
    "perplexity": Measure(
        "perplexity a token", "lower is better; compares runs of one vocabulary alone", False
    ),
    "token_accuracy": Measure(
        "token accuracy", "share of the tokens that are likeliest after those before"
    ),
    "exact_match": Measure("exact match", "share of answers written as they were wanted"),
    "rouge_l": Measure("ROUGE-L", "longest common row of words with the wanted answer, F1"),
    "log_loss": Measure("log loss", "lower is better; a token", False),
}
TEXT_GENERATION = GenerationTask(
    name="text-generation",
    figures=_FIGURES,
    headline="byte_perplexity",
    validation_metric="token likelihood",
    item_loss="log loss a byte",
    probe="logistic",
    head="own",
    written_as="dialogues",
    plain_start="scratch/gpt-tiny",
    hub_task="text-generation",
    stratified="at random",
    is_smoothed=True,
    words=TaskWords(
        told="a text to write",
        mistakes="Least expected",
        mistakes_lead=(
            "Test texts that were told worst, by their loss a byte, with what the model writes. "
            "Look for wrong answers among them."
        ),
        loss_note="Loss: log loss a byte of the wanted text, told token by token.",
        pairing=Pairing(
            "Gained: texts that the second expects more; lost: less; the difference is that of the "
            "log loss a byte; p: Wilcoxon's signed ranks.",
            counts="likelier on {gained}, unlikelier on {lost}",
            brief="likelier on {gained}, unlikelier on {lost}",
            difference="difference in log loss a byte",
            figure="byte_perplexity",
            needs_mean=True,
        ),
    ),
)
