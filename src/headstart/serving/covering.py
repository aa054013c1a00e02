"""What an answer looked at: parts of a sample are covered in turn, and the model is asked again.

How far the probability of the answered class falls says how much the answer stands on a part. The
whole sample and all the covered ones are computed as one request. It is asked for, never done
unasked: it costs as much as some dozens of samples.

Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014), section 4.2;
a part of a text is left out, a cell of a table emptied, a patch takes the picture's mean colour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.bundles import Bundle
from headstart.types import TextPair

GRID = 7
MOST_PARTS = 63
Arrays = dict[str, np.ndarray]
# What the parts are; and of each member the whole, followed by it without each of them.
Covered = tuple[dict[str, Any], list[Arrays]]


def cover_patches(samples: Sequence[Any], bundle: Bundle) -> Covered:
    """Return a picture, and it with a patch of each place covered.

    Args:
        samples: One.
        bundle: Reads it.
    """
    from headstart.preprocessing import ImagePreprocess  # of which servers of texts know nothing

    inputs = bundle.read(samples)
    arrays: list[Arrays] = []
    for own in bundle.arrays(inputs, np.arange(1)):
        ((name, whole),) = own.items()
        mean = whole.reshape(-1, whole.shape[-1]).mean(axis=0).round().astype(whole.dtype)
        copies = np.repeat(whole, 1 + GRID * GRID, axis=0)
        edges = np.linspace(0, whole.shape[1], GRID + 1).round().astype(int)
        for place in range(GRID * GRID):
            row, column = divmod(place, GRID)
            rows = slice(edges[row], edges[row + 1])
            copies[1 + place, rows, edges[column] : edges[column + 1]] = mean
        arrays.append({name: copies})
    preprocess = bundle.preprocess
    assert isinstance(preprocess, ImagePreprocess)
    return {"grid": [GRID, GRID], "framing": preprocess.spec.framing}, arrays


def cover_words(samples: Sequence[Any], bundle: Bundle) -> Covered:
    """Return a text, and it without each of its words; without groups of them where it is long.

    Args:
        samples: One.
        bundle: Reads it.
    """
    text = str(samples[0])
    words = re.findall(r"\S+", text)
    between = " "
    if len(words) < 2:  # of writing without spaces, its signs
        words, between = list(text.strip()), ""
    groups = _groups(words)
    if len(groups) < 2:
        return {"parts": []}, _read(bundle, [text])
    left = [
        between.join(word for other in groups if other is not group for word in other)
        for group in groups
    ]
    return {"parts": [between.join(group) for group in groups]}, _read(bundle, [text, *left])


def cover_pairs(samples: Sequence[Any], bundle: Bundle) -> Covered:
    """Return two texts, and both without each of their words, as ``cover_words``.

    Of neither text all words are left out together: one of two texts cannot be empty.

    Args:
        samples: One.
        bundle: Reads it.
    """
    whole: TextPair = samples[0]
    sides = [re.findall(r"\S+", side) for side in (whole.first, whole.second)]
    size = -(-sum(map(len, sides)) // (MOST_PARTS - 1)) or 1
    parts: list[str] = []
    left: list[TextPair] = []
    for which, words in enumerate(sides):
        for start in range(0, len(words), size):
            rest = " ".join([*words[:start], *words[start + size :]])
            if rest:
                parts.append(" ".join(words[start : start + size]))
                both = (rest, whole.second) if which == 0 else (whole.first, rest)
                left.append(TextPair(*both))
    return {"parts": parts}, _read(bundle, [whole, *left])


def cover_cells(samples: Any, bundle: Bundle) -> Covered:
    """Return a row, and it with each of its columns empty; groups of them where there are many.

    Args:
        samples: A row, as a table or a list of one.
        bundle: Reads it.
    """
    listed = samples if isinstance(samples, list) else samples.to_pylist()
    row: Mapping[str, Any] = listed[0]
    groups = _groups([name for name in bundle.preprocess.columns if row.get(name) is not None])
    rows = [dict(row), *({**row, **dict.fromkeys(group)} for group in groups)]
    return {"parts": [", ".join(group) for group in groups]}, _read(bundle, rows)


def cover_joined(samples: Any, bundle: Bundle) -> Covered:
    """Return a row with its text or image, and it without each word and each cell.

    An image stays whole; so does a pair of texts.

    Args:
        samples: A row, as a table or a list of one.
        bundle: Reads it.
    """
    listed = samples if isinstance(samples, list) else samples.to_pylist()
    row: Mapping[str, Any] = listed[0]
    beside, main = bundle.preprocess.rows, bundle.preprocess.main.columns
    assert beside is not None
    text = row.get(main[0])
    words = re.findall(r"\S+", text) if len(main) == 1 and isinstance(text, str) else []
    cells = _groups([name for name in beside.columns if row.get(name) is not None])
    of_words = _groups(words) if len(words) > 1 else []
    left = [
        " ".join(w for other in of_words if other is not one for w in other) for one in of_words
    ]
    rows = [dict(row), *({**row, main[0]: rest} for rest in left if rest)]
    parts = [" ".join(one) for one, rest in zip(of_words, left, strict=True) if rest]
    rows += [{**row, **dict.fromkeys(group)} for group in cells]
    return {"parts": [*parts, *(", ".join(group) for group in cells)]}, _read(bundle, rows)


def _groups(parts: Sequence[str]) -> list[list[str]]:
    """Return parts one by one, or in as few neighbours together as make them not too many."""
    size = -(-len(parts) // MOST_PARTS) or 1
    return [list(parts[start : start + size]) for start in range(0, len(parts), size)]


def _read(bundle: Bundle, samples: list[Any]) -> list[Arrays]:
    inputs = bundle.read(samples)
    places = np.arange(len(samples))
    return [dict(own) for own in bundle.arrays(inputs, places)]


def falls(outputs: np.ndarray) -> list[float]:
    """Return how far the answered class falls where each part is covered.

    Args:
        outputs: Probabilities (1 + P, K): of the whole, then without each part.
    """
    best = int(outputs[0].argmax())
    return [float(one) for one in outputs[0, best] - outputs[1:, best]]
