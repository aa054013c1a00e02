"""Images and the texts that describe them, which are to find one another.

Targets are an object array of ``Captions``: the texts of each image, one or several. Logits and
outputs are embeddings, ragged: of each sample a row for the image, then one for each of its texts,
shape (1 + C, P). The likeness of an image and a text is the dot product of their rows; the learned
temperature is in the image's. Decisions are these, or the places at which each was found, as
``predictions.parquet`` keeps them: of each sample that of its text, then those of it for each text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.errors import DataError, OptionError, UnlabelledError
from headstart.evaluation import NUM_RESAMPLES, ItemSums, Scores, compare_values
from headstart.evaluation.retrieval import (
    DEPTHS,
    MEAN_RECALL,
    TO_IMAGE,
    TO_TEXT,
    Ranks,
    mean_and_error,
    own_recall,
    rank_pairs,
    recall_name,
    recalls,
    score_retrieval,
)
from headstart.tasks.plain import TextColumn, texts_of
from headstart.tasks.reading import TargetColumn, Targets
from headstart.tasks.task import Task
from headstart.tasks.words import Pairing, TaskWords
from headstart.types import Comparison, Figure, Measure, Prediction, Ragged, Rows, Schema
from headstart.types.captions import Captions, captions_array, captions_of, text_number

_CHANCE_WIDTH = 16


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings taken apart.

    Attributes:
        images: float32, shape (N, P).
        texts: Of all images, shape (M, P).
        owners: Image of each text, int64, shape (M,).
    """

    images: np.ndarray
    texts: np.ndarray
    owners: np.ndarray

    @classmethod
    def of(cls, rows: Rows) -> Embedded:
        """Take apart what a model gives.

        Raises:
            OptionError: It is of another task.
        """
        if not isinstance(rows, Ragged) or rows.flat.ndim != 2 or not rows.lengths.all():
            raise OptionError(
                "These are no embeddings of images and texts; expected one row for each image and "
                "for each of its texts. Give what this task's model gives."
            )
        whole = rows.whole
        is_image = np.zeros(len(whole), bool)
        is_image[rows.offsets[:-1] - rows.offsets[0]] = True
        owners = np.repeat(np.arange(len(rows)), rows.lengths)[~is_image]
        return cls(whole[is_image], whole[~is_image], owners)


def ranks_of(decisions: Rows, targets: Rows) -> Ranks:
    """Return at which places images and texts were found.

    Args:
        decisions: Embeddings, or places.
        targets: Object array of N ``Captions``.

    Raises:
        OptionError: They are of another task, or of other texts than the targets.
    """
    texts = [text for one in captions_of(targets) for text in one.texts]
    if isinstance(decisions, Ragged) and decisions.flat.ndim == 1:
        is_image = np.zeros(len(decisions.whole), bool)
        is_image[decisions.offsets[:-1] - decisions.offsets[0]] = True
        places = decisions.whole.astype(np.int64)
        owners = np.repeat(np.arange(len(decisions)), decisions.lengths)[~is_image]
        return Ranks(places[is_image], places[~is_image], owners)
    found = Embedded.of(decisions)
    if len(texts) != len(found.texts):
        raise OptionError(
            f"There are embeddings of {len(found.texts):,} texts, and targets have {len(texts):,}; "
            "expected as many. Give what a model gives of the same images."
        )
    same = np.array([text_number(text) for text in texts], np.int64)
    return rank_pairs(found.images, found.texts, found.owners, same)


@dataclass(frozen=True, eq=False, kw_only=True)
class RetrievalTask(Task):
    """Images and texts: targets an object array of ``Captions``, outputs embeddings."""

    matches_texts: bool = True

    def read(self, column: TargetColumn) -> Targets:
        """Return the captions, as a reader of images with captions has found and checked them."""
        for place, value in enumerate(column.values):
            if not isinstance(value, Captions):
                raise DataError(
                    f"{column.what} holds {str(value)[:40]!r} in {column.place(place)}; "
                    f"{self.name} expects images with captions: a table with a column of images "
                    "and one of captions. Name them with --image-column and --text."
                )
        captions = [value for value in column.values if isinstance(value, Captions)]
        return Targets(self.name, captions_array(captions), ())

    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse one caption for all images: nothing tells them apart."""
        numbers = {text_number(text) for one in captions_of(targets) for text in one.texts}
        if len(numbers) < 2:
            raise UnlabelledError(
                f"{name} has one and the same caption for every image; there is nothing to find an "
                "image by. Name another column with --text."
            )

    def strata(self, targets: Rows) -> np.ndarray:
        """Return one stratum: no image is of a kind."""
        return np.zeros(len(targets), np.int64)

    def class_counts(self, targets: Rows, num_classes: int) -> np.ndarray:
        """Return nothing: there are no classes."""
        return np.zeros(0, np.int64)

    def num_outputs(self, schema: Schema) -> int:
        """Return 1: how wide embeddings are is the start's."""
        return 1

    def option_problems(self, said: Mapping[str, object]) -> list[str]:
        """Return what means nothing here: a mixed image has no caption."""
        mixed = [name for name in ("mixup", "cutmix") if said.get(name)]
        unread = [name for name in ("languages", "l1_penalty") if said.get(name)]
        return [
            *super().option_problems(said),
            *(f"{name} mixes images, and no caption is true of a mixture" for name in mixed),
            *(f"{name} means nothing where images and texts are matched" for name in unread),
        ]

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return the mean of the six recalls, and its error."""
        assert isinstance(logits, Ragged)
        if not np.isfinite(logits.whole).all():
            return math.nan, math.nan
        return mean_and_error(ranks_of(logits, targets))

    def outputs(
        self,
        logits: Rows,
        schema: Schema,
        *,
        temperature: float = 1.0,
        target_mean: float = 0.0,
        target_scale: float = 1.0,
    ) -> Rows:
        """Return the embeddings."""
        return logits

    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> Rows:
        return logits

    def decisions(self, outputs: Rows) -> Rows:
        """Return the embeddings: what they find depends on what there is."""
        return outputs

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
        """Measure as ``score_retrieval``."""
        ranks = ranks_of(outputs if decisions is None else decisions, targets)
        return score_retrieval(ranks, seed=seed, num_resamples=num_resamples, groups=groups)

    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return the mean of the six recalls."""
        found = score_retrieval(ranks_of(decisions, targets), seed=seed, groups=groups)
        return found.figures[MEAN_RECALL]

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
        """Compare by how far the mean recall of each image falls short of 1."""
        first, second = (
            self.item_errors(rows, targets) for rows in (before_decisions, after_decisions)
        )
        zero = np.zeros(len(first))
        found = compare_values(before, first, after, second, zero, seed=seed, groups=groups)
        return replace(found, metric="recall_error")

    def item_sums(
        self, decisions: Rows, targets: Rows, schema: Schema, losses: np.ndarray
    ) -> ItemSums:
        """Sum up what each image finds, and what finds it."""
        from scipy.sparse import csr_array

        quantities = ranks_of(decisions, targets).quantities()
        ones = np.ones((1, quantities.shape[1]))
        return ItemSums(csr_array(np.concatenate((ones, quantities))), recalls)

    def item_errors(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return by how much the mean recall of each image falls short of 1."""
        found: np.ndarray = 1.0 - own_recall(ranks_of(decisions, targets))
        return found

    def baseline(self, train_targets: Rows, targets: Rows, schema: Schema) -> tuple[str, Rows]:
        """Put images and texts into an order drawn at random."""
        if not len(train_targets):
            raise OptionError("There are no captions of train; expected at least one. Give some.")
        lengths = np.array([1 + len(one.texts) for one in captions_of(targets)], np.int64)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        draw = np.random.default_rng(0)
        drawn = draw.standard_normal((int(offsets[-1]), _CHANCE_WIDTH)).astype(np.float32)
        return "random order", Ragged(drawn, offsets)

    # What a person reads ------------------------------------------------------------------------

    def predictions(self, names: Sequence[str], outputs: Rows, schema: Schema) -> list[Prediction]:
        """Refuse: which text is likest depends on which there are."""
        raise OptionError(
            "An image is matched with texts, and none are given to choose among. Give them, one a "
            "line: headstart predict RUN FILE… --texts captions.txt."
        )

    def item_columns(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, Any]:
        """Return the captions, and the places at which they and the image were found."""
        ranks = ranks_of(outputs, targets)
        bounds = np.searchsorted(ranks.owners, np.arange(len(ranks.of_images) + 1))
        told = [
            json.dumps([int(own), *ranks.of_texts[bounds[i] : bounds[i + 1]].tolist()])
            for i, own in enumerate(ranks.of_images.tolist())
        ]
        return {"target": [str(one) for one in captions_of(targets)], "prediction": told}

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return captions, or places."""
        found = texts_of(column)
        read = [_read(text) for text in found.different]
        if all(isinstance(one, Captions) for one in read):
            array = captions_array([one for one in read if isinstance(one, Captions)])
            chosen: np.ndarray = array[found.codes]
            return chosen
        return Ragged.of([read[code] for code in found.codes.tolist()])

    def item_words(self, value: str | float) -> str | float:
        """Return captions as texts, and places as a sentence."""
        read = _read(str(value))
        if isinstance(read, Captions):
            return " / ".join(read.texts)
        own, *others = read
        return f"a caption at {own:,}; it for its captions at {', '.join(map(str, others))}"

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return by how much the mean recall of each image falls short of 1."""
        return self.item_errors(outputs, targets)

    def mistakes(
        self, targets: Rows, outputs: Rows, places: np.ndarray, schema: Schema
    ) -> list[dict[str, object]]:
        """Return the captions of some images, and the text of all that each finds first."""
        found, given = Embedded.of(outputs), captions_of(targets)
        every = [text for one in given for text in one.texts]
        numbers = np.array([text_number(text) for text in every], np.int64)
        first = np.unique(numbers, return_index=True)[1]
        told: list[dict[str, object]] = []
        for place in places.tolist():
            alike = found.images[place].astype(np.float64) @ found.texts[first].T
            best = int(alike.argmax())
            chance = float(1.0 / np.exp(alike - alike[best]).sum())
            said, target = every[int(first[best])], " / ".join(given[place].texts)
            told.append({"target": target, "prediction": said, "probability": chance})
        return told

    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return the captions of an image, and which of them it finds first."""
        return self.mistakes(targets, outputs, np.zeros(1, np.int64), schema)[0]


def _read(text: str) -> Captions | list[int]:
    """Return what a cell of ``predictions.parquet`` writes.

    Raises:
        OptionError: It is neither captions nor places.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, list) and found and all(isinstance(one, str) for one in found):
        return Captions(found)
    if isinstance(found, list) and len(found) > 1 and all(isinstance(n, int) for n in found):
        return found
    raise OptionError(
        f"predictions.parquet holds {text[:60]!r}, expected captions or places. Run the training "
        "again with --overwrite."
    )


_FIGURES: Mapping[str, Measure] = {
    MEAN_RECALL: Measure("mean recall", "mean of the six recalls below", unit="percent"),
    **{
        recall_name(way, depth): Measure(
            f"R@{depth} {arrow}", f"share that finds one of its own among the first {depth}"
        )
        for way, arrow in ((TO_TEXT, "image → text"), (TO_IMAGE, "text → image"))
        for depth in DEPTHS
    },
}
RETRIEVAL = RetrievalTask(
    name="retrieval",
    figures=_FIGURES,
    headline=MEAN_RECALL,
    validation_metric=MEAN_RECALL,
    item_loss="contrastive loss",
    probe="logistic",
    head="pair",
    written_as="image_text",
    plain_start="pip/efficientnet-lite0+pip/all-minilm-l6-v2",
    chosen_among=("texts", "captions.txt"),
    stratified="at random, each image with all of its captions",
    words=TaskWords(
        told="captions to match",
        mistakes="Farthest from their captions",
        mistakes_lead=(
            "Test images that do not find their captions, or that these do not find. Look for "
            "wrong or empty captions among them."
        ),
        loss_note=(
            "Loss: contrastive, of an image among the captions and of its captions among the "
            "images, the mean of both."
        ),
        pairing=Pairing(
            "Gained: images that the second finds nearer (mean of the six recalls); lost: "
            "farther; the difference is that of the mean shortfall; p: Wilcoxon's signed ranks.",
            counts="nearer on {gained}, farther on {lost}",
            brief="nearer on {gained}, farther on {lost}",
            difference="difference in the shortfall of recall",
            figure=MEAN_RECALL,
            needs_mean=True,
        ),
    ),
)
