"""Questions whose answers stand in a context, as in SQuAD: where, and whether they stand there.

Targets are an object array of ``GoldAnswers``. Logits are two numbers for each token of each window
of a context, with its places, ragged (``types.questions``); outputs are the best span of each
question beside what says that there is none, rows of ``FOUND``. Decisions are spans, or, of whoever
has found them in another way, texts: the empty one says that nothing answers.

Where some questions of val have no answer, the lead from which on a span is said is tuned on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.errors import DataError, OptionError, UnlabelledError
from headstart.evaluation import NUM_RESAMPLES, ItemSums, Scores, compare_values
from headstart.evaluation.answers_found import (
    ANSWERED,
    UNANSWERED,
    judged_answers,
    mean_and_error,
    score_answers,
    tune_silence,
)
from headstart.tasks.found_spans import MOST_TOKENS, LookedAt, best_spans, texts_of_spans
from headstart.tasks.plain import TextColumn, array_of, records_of, texts_of
from headstart.tasks.reading import TargetColumn, Targets
from headstart.tasks.task import Task
from headstart.tasks.words import Pairing, TaskWords
from headstart.types import (
    Comparison,
    Deciding,
    Figure,
    Inputs,
    Measure,
    Prediction,
    Ragged,
    Rows,
    Schema,
    Span,
)
from headstart.types.questions import FOUND, GoldAnswers, answers_array, spoken

ALWAYS = -1e9  # a lead that every span has
NO_ANSWER, ANSWER = "no answer", "answer"


def found_of(rows: Rows) -> np.ndarray:
    """Return what a model has found, dtype ``FOUND``.

    Raises:
        OptionError: It is of another task.
    """
    return records_of(rows, FOUND, "a span of each context")


@dataclass(frozen=True, eq=False, kw_only=True)
class AnswerTask(Task):
    """An answer in a context: targets an object array of ``GoldAnswers``, outputs of ``FOUND``."""

    finds_texts: bool = True

    def read(self, column: TargetColumn) -> Targets:
        """Return the answers, as a reader of questions has found and checked them."""
        for place, value in enumerate(column.values):
            if not isinstance(value, GoldAnswers):
                raise DataError(
                    f"{column.what} holds {str(value)[:40]!r} in {column.place(place)}; "
                    f"{self.name} expects answers that stand in a context, such as "
                    '{"text": ["…"], "answer_start": [0]}. Give SQuAD\'s JSON, or name the columns '
                    "of question and context with --text question,context."
                )
        answers = [value for value in column.values if isinstance(value, GoldAnswers)]
        return Targets(self.name, answers_array(answers), ())

    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse questions of which none has an answer."""
        if not any(one.texts for one in array_of(targets).tolist()):
            raise UnlabelledError(
                f"{name} has no question with an answer; there is nothing to learn. Check that the "
                "column of answers is the right one, or name it with --label."
            )

    def strata(self, targets: Rows) -> np.ndarray:
        """Return whether each question has an answer."""
        return np.array([bool(one.texts) for one in array_of(targets).tolist()], np.int64)

    def num_outputs(self, schema: Schema) -> int:
        """Return 2 for each token: whether the answer begins with it, and whether it ends."""
        return 2

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return F1 of the answers, and its error; "no answer" is said as is best for it."""
        if not np.isfinite(LookedAt.of(logits).rows.whole).all():
            return math.nan, math.nan
        found = best_spans(logits, self.deciding.most_tokens or MOST_TOKENS)
        task = self.deciding_by(self.tuned(found, targets))
        said = task.texts(task.decisions(found), targets)
        return mean_and_error(judged_answers(said, _wanted(targets))[1])

    def tuned(self, outputs: Rows, targets: Rows) -> Deciding:
        """Return how answers are made, with the lead from which on a span is said.

        Args:
            outputs: Of val.
            targets: The same; where all of them have an answer, one is always said.
        """
        found, wanted = found_of(outputs), _wanted(targets)
        has_answer = np.array([bool(several) for several in wanted])
        if has_answer.all():
            return replace(self.deciding, least_lead=ALWAYS)
        shared = judged_answers(texts_of_spans(found, array_of(targets)), wanted)[1]
        lead = tune_silence(found["score"] - found["nothing"], shared, has_answer)
        return replace(self.deciding, least_lead=lead)

    def outputs(
        self,
        logits: Rows,
        schema: Schema,
        *,
        temperature: float = 1.0,
        target_mean: float = 0.0,
        target_scale: float = 1.0,
    ) -> Rows:
        """Return the best span of each question."""
        return best_spans(logits, self.deciding.most_tokens or MOST_TOKENS)

    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> Rows:
        return logits

    def decisions(self, outputs: Rows) -> Rows:
        """Return the spans that are said: of no answer both ends are the same."""
        found = found_of(outputs).copy()
        lead = 0.0 if self.deciding.least_lead is None else self.deciding.least_lead
        is_silent = ~(found["score"] - found["nothing"] >= lead)
        found["end"][is_silent] = found["start"][is_silent]
        return found

    def confidence(self, outputs: Rows) -> np.ndarray:
        """Return how probable what is said is, a span or that there is none, shape (N,)."""
        found = found_of(self.decisions(outputs))
        is_silent = found["start"] == found["end"]
        sure: np.ndarray = np.where(is_silent, found["probability_nothing"], found["probability"])
        return sure

    def compared(self, logits: Rows) -> Rows:
        """Return what a network gives of each token, without where these stand."""
        rows = LookedAt.of(logits).rows
        return Ragged(rows.flat[:, :-2], rows.offsets)

    def texts(self, decisions: Rows, targets: Rows) -> list[str]:
        """Return decisions as texts.

        Args:
            decisions: Spans, or texts.
            targets: Hold the contexts.
        """
        said = array_of(decisions)
        if said.dtype == FOUND:
            return texts_of_spans(said, array_of(targets))
        return [_one(text) for text in said.tolist()]

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
        said = self.decisions(outputs) if decisions is None else decisions
        return score_answers(
            self.texts(said, targets),
            _wanted(targets),
            seed=seed,
            num_resamples=num_resamples,
            groups=groups,
        )

    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return F1 of answers."""
        said = self.texts(decisions, targets)
        return score_answers(said, _wanted(targets), seed=seed, groups=groups).figures["f1"]

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
        """Compare by how far the F1 of each answer falls short of 1."""
        first, second = (
            self.item_errors(rows, targets) for rows in (before_decisions, after_decisions)
        )
        zero = np.zeros(len(first))
        found = compare_values(before, first, after, second, zero, seed=seed, groups=groups)
        return replace(found, metric="f1_error")

    def item_sums(
        self, decisions: Rows, targets: Rows, schema: Schema, losses: np.ndarray
    ) -> ItemSums:
        """Sum up F1 and exact match of each answer."""
        from scipy.sparse import csr_array

        exact, shared = judged_answers(self.texts(decisions, targets), _wanted(targets))

        def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
            num = np.maximum(sums[0], 1.0)
            return {"f1": sums[1] / num, "exact_match": sums[2] / num}

        return ItemSums(csr_array(np.stack([np.ones(len(exact)), shared, exact])), figures)

    def item_errors(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return by how much the F1 of each answer falls short of 1."""
        found: np.ndarray = (
            1.0 - judged_answers(self.texts(decisions, targets), _wanted(targets))[1]
        )
        return found

    def baseline(self, train_targets: Rows, targets: Rows, schema: Schema) -> tuple[str, Rows]:
        """Say that there is no answer, or what train is answered with most often."""
        known = array_of(train_targets).tolist()
        if not known:
            raise OptionError("There are no answers of train; expected at least one. Give some.")
        firsts = [one.texts[0] if one.texts else "" for one in known]
        texts, counts = np.unique(np.array(firsts, str), return_counts=True)
        usual = np.empty(len(targets), object)
        usual[:] = str(texts[int(counts.argmax())])
        return "most frequent answer of train", usual

    # What a person reads ------------------------------------------------------------------------

    def predictions(self, names: Sequence[str], outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return where the answer to each question stands, in characters of its context."""
        found = found_of(self.decisions(outputs))
        return [
            _told(name, row, f"{row['start']}-{row['end']}", "")
            for name, row in zip(names, found, strict=True)
        ]

    def predictions_of(self, inputs: Inputs, outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return the answer to each question, with its places in the user's own context."""
        found = found_of(self.decisions(outputs))
        texts: Sequence[Any] = getattr(inputs, "texts", ())
        told = []
        for name, row, pair in zip(inputs.names, found, texts, strict=True):
            start, end = spoken(pair.second, int(row["start"]), int(row["end"]))
            own = row.copy()
            own["start"], own["end"] = start, end
            text = str(pair.second[start:end])
            told.append(_told(name, own, text, text))
        return told

    def item_columns(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, Any]:
        """Return target, as the JSON list of all answers, and prediction of each question."""
        return {
            "target": [str(one) for one in array_of(targets).tolist()],
            "prediction": [
                str(GoldAnswers([text] if text else []))
                for text in self.texts(self.decisions(outputs), targets)
            ],
        }

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return answers without their contexts; of predictions the first is what was said."""
        found = texts_of(column)
        try:
            different = [GoldAnswers.read(text) for text in found.different]
        except ValueError as error:
            raise OptionError(
                f"predictions.parquet holds {error}. Run the training again with --overwrite."
            ) from None
        array: np.ndarray = answers_array(different)[found.codes]
        return array

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return by how much the F1 of each answer falls short of 1."""
        return self.item_errors(self.decisions(outputs), targets)

    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return the answers that were wanted, the one that was given, and how sure."""
        decided = self.decisions(outputs)
        wanted = array_of(targets)[0]
        said = self.texts(decided, targets)[0]
        row = found_of(decided)[0]
        return {
            "target": " / ".join(dict.fromkeys(wanted.texts)) or NO_ANSWER,
            "prediction": said or NO_ANSWER,
            "probability": float(row["probability" if said else "probability_nothing"]),
        }


def _one(said: str | None) -> str:
    """Return what was said of one question: a text, or the first of answers as they are kept."""
    if isinstance(said, GoldAnswers):
        return said.texts[0] if said.texts else ""
    return said or ""


def _wanted(targets: Rows) -> list[tuple[str, ...]]:
    return [one.texts for one in array_of(targets).tolist()]


def _told(name: str, row: np.void, label: str, text: str) -> Prediction:
    """Return what is told of one question."""
    start, end = int(row["start"]), int(row["end"])
    if start == end:
        return Prediction(name, NO_ANSWER, float(row["probability_nothing"]), (), spans=(), text="")
    chance = float(row["probability"])
    span = Span(start, end, ANSWER, text, chance)
    return Prediction(name, label, chance, (), spans=(span,), text=text)


_FIGURES: Mapping[str, Measure] = {
    "f1": Measure("F1", "words shared with the nearest answer of people, SQuAD's"),
    "exact_match": Measure("exact match", "share of answers that people gave, SQuAD's"),
    f"f1_{ANSWERED}": Measure("F1 (answered)", "of questions that have an answer"),
    f"exact_match_{ANSWERED}": Measure(
        "exact match (answered)", "of questions that have an answer"
    ),
    f"exact_match_{UNANSWERED}": Measure(
        "no answer found", "share of questions without an answer of which that is said"
    ),
}
QUESTION_ANSWERING = AnswerTask(
    name="question-answering",
    figures=_FIGURES,
    headline="f1",
    validation_metric="f1",
    item_loss="log loss",
    probe="logistic",
    head="token",
    written_as="questions",
    hub_task="question-answering",
    stratified="stratified by whether there is an answer",
    words=TaskWords(
        told="an answer to find",
        mistakes="Farthest from the answer",
        mistakes_lead=(
            "Test questions whose answer shares fewest words with those of people. Look for wrong "
            "answers among them."
        ),
        loss_note="Loss: log loss of the first and the last token of the answer, their mean.",
        pairing=Pairing(
            "Gained: questions that the second answers nearer (F1 of words); lost: farther; the "
            "difference is that of the mean shortfall of F1; p: Wilcoxon's signed ranks.",
            counts="nearer on {gained}, farther on {lost}",
            brief="nearer on {gained}, farther on {lost}",
            difference="difference in the shortfall of F1",
            figure="f1",
            needs_mean=True,
        ),
    ),
)
