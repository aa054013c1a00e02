"""Images to learn from: what ``load`` reads, labels not looked at, or images without any."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data import load
from headstart.data.bare import load_bare
from headstart.errors import DataError, OptionError, UnlabelledError
from headstart.pretraining.texts import is_text, num_files
from headstart.tuning.conclude import describe_data
from headstart.types import BadSample, Data, Dataset, Finding

# What loading says that holds for images without labels, too.
_OF_BARE = ("val_fraction", "max_bad_fraction", "seed", "image_column", "group")


@dataclass(frozen=True)
class Images:
    """A corpus of images.

    Attributes:
        dataset: Train is learned from, val is held out, test is left alone.
        has_labels: Whether a probe can be held against labels.
    """

    dataset: Dataset
    has_labels: bool

    @property
    def name(self) -> str:
        """What the user called it."""
        return self.dataset.name

    @property
    def fingerprint(self) -> str:
        """Of the content and of the splits."""
        return self.dataset.fingerprint

    @property
    def bad_samples(self) -> Sequence[BadSample]:
        """Samples left out, each with its reason."""
        return self.dataset.bad_samples

    @property
    def findings(self) -> Sequence[Finding]:
        """What a user should know of it."""
        return self.dataset.findings

    @property
    def load_seconds(self) -> float:
        """What reading took, in seconds."""
        return self.dataset.load_seconds

    @property
    def labelled(self) -> Dataset | None:
        """The data that labels were read of, with a test split; None where nothing says labels."""
        return self.dataset if self.has_labels else None

    def of(self, dataset: Dataset) -> Images:
        """Return the corpus of other data."""
        return replace(self, dataset=dataset)

    def describe(self) -> dict[str, object]:
        """Return the content of ``data.json``."""
        return describe_data(self.dataset, [*self.dataset.bad_samples], ())


def read_images(data: Data, options: object) -> Images:
    """Read images; where nothing says labels, nothing is missing.

    Args:
        data: A Dataset, what ``load`` reads, or a ``partial`` of it.
        options: Not needed.

    Raises:
        DataError: If there are no images, or too many cannot be used.
    """
    del options
    if isinstance(data, Dataset):
        return _labelled(data)
    read, source, said = load, data, dict[str, Any]()
    if isinstance(data, partial):
        read, source, said = data.func, data.args[0], dict(data.keywords)
    if _is_bare(source):
        return _bare(source, said)
    is_one_text = isinstance(source, str | os.PathLike) and is_text(Path(source).name)
    num = int(is_one_text) or num_files(source, is_text)
    if num and (is_one_text or num == num_files(source)):
        raise DataError(
            f"{source} holds {num:,} text file{'' if num == 1 else 's'} and no images; expected "
            f"images for objective mae. For texts say --objective mlm or clm."
        )
    try:
        dataset = read(source, **said)
    except UnlabelledError:
        return _bare(source, said)
    return _labelled(dataset)


def _is_bare(source: object) -> bool:
    """Return whether a source is images alone: an array, or a list of pictures."""
    return isinstance(source, np.ndarray) or (
        isinstance(source, list) and not any(isinstance(one, Mapping) for one in source[:1])
    )


def _bare(source: object, said: Mapping[str, Any]) -> Images:
    """Read images without labels.

    Raises:
        OptionError: If something was said that only labels have.
    """
    known = {name: said[name] for name in _OF_BARE if said.get(name) is not None}
    stated = signature(load).parameters
    own = [n for n, v in said.items() if n not in _OF_BARE and v != stated[n].default]
    if own:
        raise OptionError(
            f"{', '.join(own)} is said of data in which nothing says a label; expected images "
            f"alone. Leave it out, or name the column of labels with --label."
        )
    dataset = load_bare(source, **known)
    sentence = (
        f"Nothing says labels: {len(dataset.train):,} images are learned from, "
        f"{len(dataset.val):,} are held out. There is no test split to leave alone."
    )
    found = Finding("unlabelled", "note", (), sentence)
    return Images(replace(dataset, findings=(*dataset.findings, found)), has_labels=False)


def _labelled(dataset: Dataset) -> Images:
    """Return labelled images as a corpus, with what is said of its labels and its test split.

    Raises:
        DataError: If they are no images.
    """
    if not dataset.schema.facts.is_looked_at:
        raise DataError(
            f"{dataset.name} holds {dataset.schema.facts.nouns}; expected images for objective "
            f"mae. For texts say --objective mlm or clm."
        )
    sentence = (
        f"Labels are not learned from. The test split ({len(dataset.test):,} images: "
        f"{dataset.split_origin.get('test', 'given')}) is left alone, and val "
        f"({len(dataset.val):,}) is held out to judge by; copies and groups stay on one side."
    )
    found = Finding("untested", "note", (), sentence)
    return Images(replace(dataset, findings=(*dataset.findings, found)), has_labels=True)
