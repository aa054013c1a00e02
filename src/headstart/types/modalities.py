"""The modalities: what a sample can be, and what those ask who only need to know a fact of it.

One row a modality, in one table, and the one question whether two things are for like samples. What
differs in how samples are found, prepared, fed to a network or trained on is not here but in the
four rooms that docs/design.md names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

Modality = Literal["image", "text", "table"]


@dataclass(frozen=True)
class ModalityFacts:
    """What is true of the samples of a modality.

    Attributes:
        noun: What one sample is called in messages.
        nouns: What several are called.
        says: What a sample does with what it is about: it shows, says or holds it.
        sameness: What two samples have in common that count as the same.
        copied: What a copy has in common with the sample that it is a copy of.
        argument: What ``headstart predict`` is given, as a person would write it after the run.
        pipeline: What model hubs call it in the kinds of their models.
        has_words: Whether a sample is words, which can be counted.
        is_augmented: Whether a training can show a sample in other forms that mean the same.
        is_random_start_a_baseline: Whether the features of random weights say something that no
            simple method beside the run says better.
        is_learned_from: Whether what prepares samples may be learned from those of train (a
            vocabulary, terms), which takes long enough to be done once for a whole run.
        is_prepared_at_once: Whether preparing takes next to nothing, so that no plan has a stage
            for it.
        is_plain_column: Whether each input is a column with a meaning of its own, so that a linear
            model of them is ordinary regression.
        is_number_a_code: Whether a target of numbers names classes unless somebody says otherwise.
        is_looked_at: Whether samples have a size and channels that are found before they are read.
        is_file: Whether a sample may be a file of its own that a cell of a table names.
    """

    noun: str
    nouns: str
    says: str
    sameness: str
    copied: str
    argument: str
    pipeline: str
    has_words: bool = False
    is_augmented: bool = False
    is_random_start_a_baseline: bool = False
    is_learned_from: bool = False
    is_prepared_at_once: bool = False
    is_plain_column: bool = False
    is_number_a_code: bool = False
    is_looked_at: bool = False
    is_file: bool = False


MODALITIES: dict[Modality, ModalityFacts] = {
    "image": ModalityFacts(
        noun="image",
        nouns="images",
        says="shows",
        sameness="the same bytes",
        copied="the same bytes",
        argument="FILE…",
        pipeline="image",
        is_augmented=True,
        is_random_start_a_baseline=True,
        is_number_a_code=True,
        is_looked_at=True,
        is_file=True,
    ),
    "text": ModalityFacts(
        noun="text",
        nouns="texts",
        says="says",
        sameness="the same text",
        copied="the same text but for case and blanks",
        argument="'SOME TEXT'",
        pipeline="text",
        has_words=True,
        is_learned_from=True,
    ),
    "table": ModalityFacts(
        noun="row",
        nouns="rows",
        says="holds",
        sameness="the same row",
        copied="the same in every column but those that number the rows",
        argument="FILE.csv",
        pipeline="tabular",
        is_prepared_at_once=True,
        is_plain_column=True,
    ),
}


class OfModality(Protocol):
    """Whatever is for samples of one modality: a schema, a start, a row of a table."""

    @property
    def modality(self) -> str:
        """What a sample is."""
        ...


_Row = TypeVar("_Row", bound=OfModality)


def is_among(one: OfModality, modalities: Collection[str]) -> bool:
    """Return whether something is for samples of one of these modalities."""
    return one.modality in modalities


def are_alike(one: OfModality, other: OfModality) -> bool:
    """Return whether two are for like samples: a start and the data, say."""
    return is_among(one, (other.modality,))


def rows_of(table: Mapping[str, _Row], modality: str) -> dict[str, _Row]:
    """Return the rows of a table that are for samples of a modality, by their names."""
    return {name: row for name, row in table.items() if is_among(row, (modality,))}
