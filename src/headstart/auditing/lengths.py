"""How long texts are, which say nearly nothing, and how many a network would not read whole."""

from __future__ import annotations

from typing import cast

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools, Suspect
from headstart.auditing.spots import Spots
from headstart.preprocessing.rows import TextSamples
from headstart.types import Dataset, Finding

TOKENS_A_WORD = 4 / 3  # of English in the vocabularies of BERT; see docs/check.md
MOST_TOKENS = 512  # that BERT and its kin read at the most
SHORT = 3  # characters
SHORT_SHARE = 10  # times shorter than usual


def audit_lengths(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Tell how long texts are.

    Args:
        dataset: Of texts.
        tools: Not asked for anything.
    """
    spots = Spots(dataset)
    texts = [t for n in spots.names for t in cast(TextSamples, dataset.split(n).samples).texts]
    letters = np.array([len(text.strip()) for text in texts])
    words = np.array([text.count(" ") + 1 for text in texts])
    usual, most, longest = np.quantile(words, [0.5, 0.95, 1.0], method="higher").tolist()
    sentence = (
        f"Texts have {usual:,} words usually, 95 % at most {most:,}, the longest {longest:,}."
    )
    found = [Audited(Finding("size", "note", (), sentence))]
    tokens = np.maximum(words * TOKENS_A_WORD, letters / 8)
    cut = np.flatnonzero(tokens > MOST_TOKENS)
    if len(cut):
        names = [spots.name(int(i)) for i in cut[:100]]
        sentence = (
            f"{len(cut):,} of {len(texts):,} texts ({len(cut) / len(texts):.1%}) have more than "
            f"about {MOST_TOKENS} tokens (by their words): a pretrained network reads their "
            "beginning alone, TF-IDF all of them. Where the end tells the label, cut them into "
            "parts."
        )
        suspects = [Suspect(spots.spot(i), f"{words[i]:,} words") for i in cut.tolist()]
        found.append(Audited(Finding("truncated", "note", names, sentence), suspects))
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


AUDIT = Audit(
    "lengths",
    "How long are the texts, and is any cut?",
    lambda dataset: dataset.schema.modality == "text",
    audit_lengths,
)
