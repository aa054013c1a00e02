"""The modalities: what a sample can be, and what those ask who only need to know a fact of it.

One row a modality, in one table. What differs in how samples are found, prepared, fed to a network
or trained on is not here but in the four rooms that docs/design.md names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Modality = Literal["image", "text", "table"]


@dataclass(frozen=True)
class ModalityFacts:
    """What is true of the samples of a modality.

    Attributes:
        noun: What one sample is called in messages.
        nouns: What several are called.
        says: What a sample does with what it is about: it shows, says or holds it.
        sameness: What two samples have in common that count as the same.
        argument: What ``headstart predict`` is given, as a person would write it after the run.
        has_words: Whether a sample is words, which can be counted.
        is_augmented: Whether a training can show a sample in other forms that mean the same.
        is_random_start_a_baseline: Whether the features of random weights say something that no
            simple method beside the run says better.
        is_learned_from: Whether what prepares samples may be learned from those of train (a
            vocabulary, terms), which takes long enough to be done once for a whole run.
        is_prepared_at_once: Whether preparing takes next to nothing, so that no plan has a stage
            for it.
        is_pooled_by_use: Whether a sentence encoder's features are pooled in one way where it only
            reads and in another where it learns.
        is_plain_column: Whether each input is a column with a meaning of its own, so that a linear
            model of them is ordinary regression.
        is_number_a_code: Whether a target of numbers names classes unless somebody says otherwise.
        is_looked_at: Whether samples have a size and channels that are found before they are read.
    """

    noun: str
    nouns: str
    says: str
    sameness: str
    argument: str
    has_words: bool = False
    is_augmented: bool = False
    is_random_start_a_baseline: bool = False
    is_learned_from: bool = False
    is_prepared_at_once: bool = False
    is_pooled_by_use: bool = False
    is_plain_column: bool = False
    is_number_a_code: bool = False
    is_looked_at: bool = False


MODALITIES: dict[Modality, ModalityFacts] = {
    "image": ModalityFacts(
        noun="image",
        nouns="images",
        says="shows",
        sameness="the same bytes",
        argument="FILE…",
        is_augmented=True,
        is_random_start_a_baseline=True,
        is_number_a_code=True,
        is_looked_at=True,
    ),
    "text": ModalityFacts(
        noun="text",
        nouns="texts",
        says="says",
        sameness="the same text",
        argument="'SOME TEXT'",
        has_words=True,
        is_learned_from=True,
        is_pooled_by_use=True,
    ),
    "table": ModalityFacts(
        noun="row",
        nouns="rows",
        says="holds",
        sameness="the same row",
        argument="FILE.csv",
        is_prepared_at_once=True,
        is_plain_column=True,
    ),
}
