"""From documents to token ids: whose vocabulary, how much of the corpus, and where words begin."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice

import numpy as np

from headstart.data.corpora import TextCorpus
from headstart.events import emit
from headstart.preprocessing.corpus import CorpusJob, TokenCorpus, encode_corpus, is_encoded
from headstart.preprocessing.segments import is_chinese, require_segmenter, segment_chinese
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer
from headstart.preprocessing.vocabulary import supported_size
from headstart.pretraining.objective import Givens
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.tuning.decisions import Decided
from headstart.types import Stretch

VERSION = 1  # raise it when the same corpus would become other ids
SAMPLE_CHARACTERS = 10_000_000  # that a vocabulary is learned from
_TIMED_CHARACTERS = 200_000
_ENOUGH = 1.0  # a share of the corpus that is all of it


@dataclass(frozen=True)
class TokenizedTexts:
    """Tokens to learn from, and how they were made.

    Attributes:
        tokens: Of the documents.
        tokenizer: Cuts texts into them, without a limit.
        share: Of the documents that there was time for, above 0 and at most 1.
        whole: What words are, where whole ones are hidden: ``tokenizer`` or ``jieba``; else None.
    """

    tokens: TokenCorpus
    tokenizer: TextTokenizer
    share: float
    whole: str | None


def sample_texts(corpus: TextCorpus) -> list[str]:
    """Return texts that are learned from, spread over the corpus, some ten million characters.

    Args:
        corpus: Read once.
    """
    every = max(1, -(-corpus.num_characters // SAMPLE_CHARACTERS))
    texts = (text for text in islice(corpus.learned(), 0, None, every) if text.strip())
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text)
        if size > 2 * SAMPLE_CHARACTERS:  # few, long documents
            break
    return found


def settle_vocabulary_size(options: PretrainingOptions, num_characters: int) -> int:
    """Return how many tokens a vocabulary is to have; a default below the usual one is told.

    Args:
        options: What the user said.
        num_characters: Of the corpus.
    """
    if options.vocabulary_size is not None:
        return options.vocabulary_size
    size = supported_size(num_characters)
    why = f"{num_characters:,} characters are learned from, each token should occur fifty times"
    emit("choice", name="vocabulary_size", value=size, why=why)
    return size


def tell_vocabulary(tokenizer: TextTokenizer, wanted: int) -> None:
    """Say where the texts gave fewer tokens than were asked for."""
    if tokenizer.vocab_size < wanted:
        emit(
            "note",
            text=f"The vocabulary has {tokenizer.vocab_size:,} tokens, not {wanted:,}: more pieces "
            f"do not occur twice in these texts.",
        )


def tokenize(
    corpus: TextCorpus, tokenizer: TextTokenizer, texts: list[str], means: Givens
) -> TokenizedTexts:
    """Return the corpus as tokens, or under a budget as much of it as there is time for.

    Args:
        corpus: Documents, some of them held out.
        tokenizer: Cuts them.
        texts: Some that are learned from.
        means: Options, budget, decisions.

    Raises:
        DataError: If whole words are asked of Chinese and their extra is missing, or the tokenizer
            leaves nothing.
    """
    whole = None
    if means.options.whole_words:
        whole = "jieba" if is_chinese(texts) else "tokenizer"
        if whole == "jieba":
            require_segmenter()
    tokenizer = tokenizer.with_max_length(NO_LIMIT)
    segment = segment_chinese if whole == "jieba" else None
    job = partial(
        CorpusJob,
        tokenizer=tokenizer,
        name=corpus.name,
        num_characters=corpus.num_characters,
        segment=segment,
    )
    all_of_it = job(stretches=corpus.stretches, key=_key(corpus, tokenizer, whole, _ENOUGH))

    def decide() -> Decided[float]:
        limit = means.budget.limit_seconds
        if limit is None or is_encoded(all_of_it):
            return Decided(_ENOUGH)
        seconds = _seconds_per_character(all_of_it, texts) * corpus.num_characters
        share = min(_ENOUGH, means.budget.may_take("samples") / max(seconds, 1e-9))
        why = f"making tokens of the whole corpus would take about {seconds:.0f} s"
        return Decided(share, why if share < _ENOUGH else "", f"{share:.0%} of the documents")

    share = means.decisions.settle("documents", decide)
    if share < _ENOUGH:
        key = _key(corpus, tokenizer, whole, share)
        all_of_it = job(stretches=partial(_some, corpus, share), key=key)
    emit("stage", text=f"Making tokens of {corpus.name}")
    return TokenizedTexts(encode_corpus(all_of_it), tokenizer, share, whole)


def _some(corpus: TextCorpus, share: float) -> Iterator[Stretch]:
    """Yield the stretches of a share of the documents, spread evenly; one of each side at least."""
    seen = {False: 0, True: 0}
    taken = {False: 0, True: 0}
    for stretch in corpus.stretches():
        side = stretch.is_held_out
        is_taken = taken[side] <= share * seen[side]
        if is_taken:
            yield stretch
        if stretch.is_last:
            seen[side] += 1
            taken[side] += is_taken


def _seconds_per_character(job: CorpusJob, texts: list[str]) -> float:
    """Return what encoding takes, measured on a few texts."""
    some, size = [], 0
    for text in texts:
        some.append(text[:_TIMED_CHARACTERS])
        size += len(some[-1])
        if size >= _TIMED_CHARACTERS:
            break
    began = time.monotonic()
    for _ in job.tokenizer.encode_bodies(some, job.segment):
        pass
    return (time.monotonic() - began) / max(1, size)


def _key(corpus: TextCorpus, tokenizer: TextTokenizer, whole: str | None, share: float) -> str:
    """Return a digest of all that the ids depend on."""
    digest = blake2b(digest_size=16)
    about = [VERSION, corpus.fingerprint, "jieba" if whole == "jieba" else None, share]
    digest.update(json.dumps(about).encode())
    for name, content in sorted(tokenizer.files().items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


def spell(tokenizer: TextTokenizer, ids: np.ndarray, begins: np.ndarray) -> str:
    """Return tokens as a person reads them.

    Args:
        tokenizer: Whose ids they are.
        ids: Integer, shape (T,).
        begins: Shape (T,), 1 where a token is the first of a word.
    """
    if tokenizer.has_decoder:
        return tokenizer.decode(ids.tolist())
    parts = [
        f"{' ' if begin and place else ''}{tokenizer.token(one)}"
        for place, (one, begin) in enumerate(zip(ids.tolist(), begins.tolist(), strict=True))
    ]
    return _close_up("".join(parts))


def _close_up(text: str) -> str:
    """Return a text without the blanks between Chinese characters."""
    kept = [
        sign
        for before, sign, after in zip(f" {text}", text, f"{text[1:]} ", strict=False)
        if not (sign == " " and before > "\u2e80" and after > "\u2e80")
    ]
    return "".join(kept)
