"""Tasks whose targets are texts and whose models write: what all of them have in common.

Targets are an object array of N str; what a model gives, as logits and as outputs alike, is an
array of N rows of ``types.texts.TOLD``: the text that it wrote, and how well it told the tokens of
the target. Decisions are the texts. A row whose text is None was not asked for a text (of val only
some are, while training): figures are those of the others.

Whatever is asked of such a task is answered from texts and counts alone; how a text becomes tokens
is the preprocessing's business, and how tokens are written the network's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.cells import is_missing, plain
from headstart.errors import DataError, OptionError, UnlabelledError
from headstart.evaluation import (
    NUM_RESAMPLES,
    ItemSums,
    Scores,
    TextCounts,
    bleu_and_error,
    compare_texts,
    count_texts,
    score_texts,
)
from headstart.extras import require_extra
from headstart.tasks.plain import TextColumn, array_of, records_of, texts_of
from headstart.tasks.reading import TargetColumn, Targets
from headstart.tasks.task import Task
from headstart.types import Comparison, Figure, Prediction, Rows, Schema
from headstart.types.texts import TOLD, text_array

_TOKENS = ("loss", "num_tokens", "num_right")


def told_of(rows: Rows) -> np.ndarray:
    """Return what a model told, dtype ``TOLD``.

    Raises:
        OptionError: It is of another task.
    """
    return records_of(rows, TOLD, "texts with what was told of their tokens")


@dataclass(frozen=True, eq=False, kw_only=True)
class TextTask(Task):
    """A text a sample: targets an object array of str, outputs rows of ``TOLD``."""

    tells_texts: bool = True

    def read(self, column: TargetColumn) -> Targets:
        """Return the texts; numbers as they are written."""
        require_extra("seq", f"Task {self.name}", "sacrebleu")  # before anything is learned
        texts = [self._text(column, place) for place in range(len(column.values))]
        return Targets(self.name, text_array(texts), ())

    def _text(self, column: TargetColumn, place: int) -> str:
        value = plain(column.values[place])
        if isinstance(value, str) and value.strip():
            return value
        if is_missing(value):
            raise DataError(
                f"{column.what} is empty in {column.place(place)}; {self.name} expects a text for "
                "every sample. Fill it in, or remove the row."
            )
        if isinstance(value, int | float):
            return str(value)
        raise DataError(
            f"{column.what} holds a {type(value).__name__} in {column.place(place)}; "
            f"{self.name} expects one text. Of several references give one, or a row for each."
        )

    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse targets that are all the same text."""
        if len(set(array_of(targets).tolist())) < 2:
            raise UnlabelledError(
                f"{name} has one and the same text as the target of every sample; there is nothing "
                "to learn. Name another column with --label."
            )

    def strata(self, targets: Rows) -> np.ndarray:
        """Return one stratum: no text is of a kind."""
        return np.zeros(len(targets), np.int64)

    def num_outputs(self, schema: Schema) -> int:
        """Return 0: the network has the vocabulary, and the head adds nothing."""
        return 0

    def option_problems(self, said: Mapping[str, object]) -> list[str]:
        """Refuse dropout of features: these are the logits of the vocabulary."""
        wrong = super().option_problems(said)
        if said.get("dropout"):
            wrong.append(
                f"dropout is {said['dropout']}, and a {self.name} has no features before a head; "
                "expected encoder_dropout"
            )
        return wrong

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return BLEU of the texts that were written, and its error over them.

        Where none was written, all are equally good, and the loss decides.
        """
        told = told_of(logits)
        if not np.isfinite(told["loss"]).all():
            return math.nan, math.nan
        said, wanted, _ = written(told["text"], targets)
        return bleu_and_error(count_texts(said, wanted)) if said else (0.0, 0.0)

    def outputs(
        self,
        logits: Rows,
        schema: Schema,
        *,
        temperature: float = 1.0,
        target_mean: float = 0.0,
        target_scale: float = 1.0,
    ) -> Rows:
        """Return what was told as it is."""
        return told_of(logits)

    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> Rows:
        return logits

    def decisions(self, outputs: Rows) -> Rows:
        """Return the texts."""
        found: np.ndarray = told_of(outputs)["text"]
        return found

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
        """Measure as ``score_texts`` those that were written."""
        told = told_of(outputs)
        texts = told["text"] if decisions is None else array_of(decisions)
        said, wanted, places = written(texts, targets)
        tokens = {name: told[name][places] for name in _TOKENS}
        some = None if groups is None else groups[places]
        has_tokens = bool(tokens["num_tokens"].any())
        found = score_texts(
            count_texts(said, wanted),
            tokens if has_tokens else None,
            seed=seed,
            num_resamples=num_resamples,
            groups=some,
        )
        return replace(found, num_empty=sum(not text.strip() for text in said))

    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return the leading figure of texts."""
        said, wanted, places = written(array_of(decisions), targets)
        some = None if groups is None else groups[places]
        return score_texts(count_texts(said, wanted), seed=seed, groups=some).figures[self.headline]

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
        """Compare as ``compare_texts`` the samples of which both have written."""
        first, second = array_of(before_decisions), array_of(after_decisions)
        has_both = [a is not None and b is not None for a, b in zip(first, second, strict=True)]
        both = np.flatnonzero(has_both)
        wanted = array_of(targets)[both].tolist()
        counts = [count_texts(texts[both].tolist(), wanted) for texts in (first, second)]
        some = None if groups is None else groups[both]
        return compare_texts(before, counts[0], after, counts[1], seed=seed, groups=some)

    def item_sums(
        self, decisions: Rows, targets: Rows, schema: Schema, losses: np.ndarray
    ) -> ItemSums:
        """Sum up as ``TextCounts.sums``."""
        return self._counts(decisions, targets).sums()

    def item_errors(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return by how much the chrF of each text falls short of 100."""
        return 100.0 - self._counts(decisions, targets).sentence_chrf

    def _counts(self, decisions: Rows, targets: Rows) -> TextCounts:
        said = ["" if text is None else text for text in array_of(decisions)]
        return count_texts(said, array_of(targets).tolist())

    def baseline(self, train_targets: Rows, targets: Rows, schema: Schema) -> tuple[str, Rows]:
        """Write train's most frequent text."""
        texts, counts = np.unique(array_of(train_targets).astype(str), return_counts=True)
        if not len(texts):
            raise OptionError("There are no texts of train; expected at least one. Give some.")
        usual = str(texts[int(counts.argmax())])
        return "most frequent text", text_array([usual] * len(targets))

    # What a person reads ------------------------------------------------------------------------

    def predictions(self, names: Sequence[str], outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return what was written of each sample."""
        texts = told_of(outputs)["text"]
        return [
            Prediction(name, text or "", math.nan, (), text=text or "")
            for name, text in zip(names, texts, strict=True)
        ]

    def item_columns(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, Any]:
        """Return target and prediction of each sample, as texts."""
        texts = told_of(outputs)["text"]
        return {
            "target": array_of(targets).tolist(),
            "prediction": [text or "" for text in texts],
        }

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return the texts."""
        found = texts_of(column)
        texts: np.ndarray = text_array(found.different)[found.codes]
        return texts

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return by how much the chrF of each text falls short of 100."""
        return self.item_errors(self.decisions(outputs), targets)

    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return the text that was wanted, the one that was written, and how likely its tokens."""
        told = told_of(outputs)[0]
        chance = math.exp(-told["loss"] / told["num_tokens"]) if told["num_tokens"] else None
        return {
            "target": array_of(targets)[0],
            "prediction": told["text"] or "",
            "probability": chance,
        }


def written(texts: np.ndarray, targets: Rows) -> tuple[list[str], list[str], np.ndarray]:
    """Return the texts that were written, their targets, and their places."""
    places = np.flatnonzero([text is not None for text in texts])
    return texts[places].tolist(), array_of(targets)[places].tolist(), places
