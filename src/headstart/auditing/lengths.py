"""How long texts are, which say nearly nothing, and how much of them a network would not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools, Suspect
from headstart.auditing.spots import Spots
from headstart.errors import StartError
from headstart.preprocessing.rows import TextSamples
from headstart.preprocessing.tokens import TextTokenizer
from headstart.starts import find_start
from headstart.tasks import find_task
from headstart.types import Dataset, Finding, Sentence

TOKENS_A_WORD = 4 / 3  # of English in the vocabularies of BERT, where no tokenizer is at hand
MOST_TOKENS = 256  # that a network reads where nobody says --max-length
LOOKED_AT = 2_000  # texts that a tokenizer counts
SHORT = 3  # characters
SHORT_SHARE = 10  # times shorter than usual


def audit_lengths(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Tell how long texts are.

    Args:
        dataset: Of texts.
        tools: Its start tells how many tokens of a text are read.
    """
    spots = Spots(dataset)
    texts = [t for n in spots.names for t in cast(TextSamples, dataset.split(n).samples).texts]
    letters = np.array([len(text.strip()) for text in texts])
    words = np.array([_num_words(text) for text in texts])
    usual, most, longest = np.quantile(words, [0.5, 0.95, 1.0], method="higher").tolist()
    sentence = (
        f"Texts have {usual:,} words usually, 95 % at most {most:,}, the longest {longest:,}."
    )
    found = [Audited(Finding("size", "note", (), sentence))]
    found += _read_by_a_network(dataset, spots, texts, words, tools.start)
    short = np.flatnonzero((letters < SHORT) & (letters * SHORT_SHARE <= np.median(letters)))
    if len(short):
        names = [spots.name(int(i)) for i in short[:100]]
        sentence = (
            f"{len(short):,} text{'s have' if len(short) > 1 else ' has'} fewer than {SHORT} "
            f"characters, such as {names[0]}: it may be that nothing was written down."
        )
        suspects = [Suspect(spots.spot(i), repr(texts[i])) for i in short.tolist()]
        found.append(Audited(Finding("size", "warning", names, sentence), suspects))
    return found


def _read_by_a_network(
    dataset: Dataset, spots: Spots, texts: Sequence[str], words: np.ndarray, address: str | None
) -> list[Audited]:
    """Return which texts a network would not read to the end, and what it would not know."""
    places = np.unique(np.linspace(0, len(texts) - 1, LOOKED_AT).astype(np.int64))
    tokenizer = _tokenizer(dataset, address)
    found: list[Audited] = []
    if tokenizer is None:
        places = np.arange(len(texts))
        counts, most = np.ceil(words * TOKENS_A_WORD).astype(np.int64), MOST_TOKENS
        told = f"about {most} tokens (counted by their words)"
    else:
        ids, counts = tokenizer.encode([texts[i] for i in places.tolist()])
        unread = tokenizer.unread(ids, [spots.name(int(i)) for i in places])
        found += map(Audited, unread.findings(f"the tokenizer of {address}"))
        most = tokenizer.max_length
        told = f"the {most} tokens that {address} is given where nobody says --max-length"
    cut = np.flatnonzero(counts > most)
    task = find_task(dataset.schema.task)
    if not len(cut) or task.tells_words or task.finds_texts:  # these are read in windows
        return found
    names = [spots.name(int(places[i])) for i in cut[:100]]
    looked_at = "" if len(places) == len(texts) else " that were looked at"
    sentence = (
        f"{len(cut):,} of {len(places):,} texts{looked_at} ({len(cut) / len(places):.1%}) have "
        f"more than {told}: their end is not read, but by TF-IDF. Where the end tells the label, "
        "give a larger --max-length, or cut them into parts."
    )
    suspects = [
        Suspect(spots.spot(int(places[i])), f"{words[places[i]]:,} words, {counts[i]:,} tokens")
        for i in cut.tolist()
    ]
    return [*found, Audited(Finding("truncated", "note", names, sentence), suspects)]


def _num_words(text: str) -> int:
    """Return how many words a text has: as they were given, else by its blanks."""
    return len(text.spans) if isinstance(text, Sentence) else text.count(" ") + 1


def _tokenizer(dataset: Dataset, address: str | None) -> TextTokenizer | None:
    """Return the tokenizer of a pretrained start as it would be used; None where there is none."""
    if address is None:
        return None
    start = find_start(address)
    if start.pretrained_on is None or not start.is_local:
        return None
    from headstart.starts.texts.builders import usual_tokenizer  # brings PyTorch

    try:
        return usual_tokenizer(start, cast(TextSamples, dataset.train.samples).texts)
    except StartError:  # whoever trains with it is told
        return None


AUDIT = Audit(
    "lengths",
    "How long are the texts, and is any cut?",
    lambda dataset: dataset.schema.facts.has_words,
    audit_lengths,
)
