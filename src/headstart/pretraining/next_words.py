"""The next word: what a decoder learns of texts, several of which may share a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from headstart.data.corpora import TextCorpus
from headstart.events import emit
from headstart.model.words import NextWords
from headstart.preprocessing import TokenPreprocess
from headstart.preprocessing.packing import cut_documents, pack
from headstart.preprocessing.vocabulary import train_byte_tokenizer
from headstart.pretraining.beginnings import next_words
from headstart.pretraining.hidden_words import CONTINUED_RATE, STEP_TOKENS
from headstart.pretraining.objective import Givens, Passage, Shown
from headstart.pretraining.step_precision import settle_step_precision
from headstart.pretraining.tokenizing import (
    TokenizedTexts,
    sample_texts,
    settle_vocabulary_size,
    tell_vocabulary,
    tokenize,
)
from headstart.pretraining.word_learner import (
    NUM_SHOWN,
    WordLearner,
    clusters_of,
    settle_checked,
    timed,
)
from headstart.starts.texts.decoding import build_decoder_start
from headstart.tensors import evaluating, seeded
from headstart.training.batches.order import Share
from headstart.training.batches.word_feed import NextWordFeed, PackedInputs, on_device
from headstart.training.machine.device import choose_precision
from headstart.training.options.pretraining_defaults import pretraining_recipe
from headstart.training.options.recipe import Recipe

_PASS_TOKENS = 8_192  # of a pass without gradients
_PROMPT, _WRITTEN = 16, 40  # tokens of a shown text: given, and written on
_WARMTH = 0.8  # of the draws that write it: below 1 the likely is likelier


class NextWordLearner(WordLearner):
    """A causal language model with the rows that it learns from.

    Args:
        module: Decoder and head, on their device.
        recipe: Every training option.
        words: The corpus as tokens.
        rows: Of what is learned from, and of what is held out.
    """

    module: NextWords

    def __init__(
        self,
        module: NextWords,
        recipe: Recipe,
        words: TokenizedTexts,
        rows: tuple[PackedInputs, PackedInputs],
    ) -> None:
        self.rows, self.judged = rows
        super().__init__(module, recipe, words, len(self.rows))

    def feed(self, share: Share) -> NextWordFeed:
        """Return the batches of all steps, of which a share is this process's."""
        return NextWordFeed(self.rows, self.recipe, self.device, share)

    def held_out(self) -> Iterator[tuple[tuple[Tensor, ...], np.ndarray]]:
        """Yield batches of the rows that are held out."""
        rows = self.judged
        clusters = clusters_of(rows.windows.documents)
        for places in _passes(rows):
            arrays = rows.arrays(places)
            windows = np.concatenate(
                [rows.order[rows.bounds[p] : rows.bounds[p + 1]] for p in places.tolist()]
            )
            yield (
                on_device(arrays, self.device),
                np.repeat(clusters[windows], rows.windows.lengths[windows]),
            )

    def counts(self) -> np.ndarray:
        """Return how often each token is to be told: the end once a document."""
        counts = super().counts()
        counts[self.rows.end_id] += len(self.words.tokens.documents(is_held_out=False))
        return counts

    def shown(self) -> list[Shown]:
        """Return the beginnings of some held-out texts, and how the model and they go on."""
        tokens = self.words.tokens
        documents = np.unique(self.judged.windows.documents)
        few = np.unique(np.linspace(0, len(documents) - 1, NUM_SHOWN).astype(np.int64))
        return [self._show(int(documents[place]), tokens.offsets) for place in few]

    def _show(self, document: int, offsets: np.ndarray) -> Shown:
        tokenizer = self.words.tokenizer
        first, last = offsets[document : document + 2].tolist()
        body = self.words.tokens.ids[first : min(last, first + _PROMPT + _WRITTEN)].tolist()
        given = min(_PROMPT, max(1, len(body) // 2))
        written = self._write([self.rows.end_id, *body[:given]], seed=document)
        passages = (
            Passage("given", "text", tokenizer.decode(body[:given])),
            Passage("written", "text", tokenizer.decode(written)),
            Passage("original", "text", tokenizer.decode(body[given:])),
        )
        return Shown(f"document {document + 1}", passages)

    def _write(self, ids: list[int], seed: int) -> list[int]:
        """Return tokens that the model draws one after the other, up to the end of a document."""
        draws = torch.Generator().manual_seed(seed)
        found: list[int] = []
        with evaluating(self.module):
            while len(found) < _WRITTEN:
                row = torch.tensor([[*ids, *found]], device=self.device)
                places = torch.arange(row.shape[1], device=self.device)[None]
                logits = self.module(row, places, torch.zeros_like(row), places[0, -1:])
                shares = (logits[0].float().cpu() / _WARMTH).softmax(-1)
                drawn = int(torch.multinomial(shares, 1, generator=draws))
                if drawn == self.rows.end_id:
                    break
                found.append(drawn)
        return found


def _passes(rows: PackedInputs) -> Iterator[np.ndarray]:
    """Yield rows, as many as a pass takes."""
    longest = int(rows.num_told(np.arange(len(rows))).max())
    size = max(1, _PASS_TOKENS // longest)
    for begin in range(0, len(rows), size):
        yield np.arange(begin, min(len(rows), begin + size))


def build_next_words(corpus: TextCorpus, means: Givens) -> NextWordLearner:
    """Build a learner of the next word.

    Args:
        corpus: Documents, some of them held out.
        means: Options, start, device, budget, decisions.

    Raises:
        StartError: If the start is no decoder, or has no token that ends a text.
        DataError: If the tokenizer leaves nothing of the texts.
    """
    options, start = means.options, means.start
    texts = sample_texts(corpus)
    trained = None
    if start.pretrained_on is None:
        wanted = settle_vocabulary_size(options, corpus.num_characters)
        trained = train_byte_tokenizer(texts, start.address, vocab_size=wanted)
        tell_vocabulary(trained, wanted)
    encoder = build_decoder_start(
        start, trained, max_length=options.max_length, column=corpus.column, seed=options.seed
    )
    preprocess = encoder.preprocess
    assert isinstance(preprocess, TokenPreprocess)
    words = tokenize(corpus, preprocess.tokenizer, texts, means)
    rows, judged = (_rows(words, preprocess, is_held_out=side) for side in (False, True))
    with seeded(options.seed):
        module = next_words(encoder, start).to(means.device)
    judged = _settle_judged(module, judged, means)
    learner = NextWordLearner(module, _recipe(rows, means), words, (rows, judged))
    settle_step_precision(learner, means)
    return learner


def _rows(words: TokenizedTexts, preprocess: TokenPreprocess, *, is_held_out: bool) -> PackedInputs:
    """Return the rows of one side."""
    tokens, length = words.tokens, preprocess.max_length
    end_id = words.tokenizer.end_id
    assert end_id is not None, "a decoder's tokenizer is checked when it is built"
    documents = tokens.documents(is_held_out=is_held_out)
    windows = cut_documents(documents, tokens.lengths[documents] + 1, length)
    order, bounds = pack(windows.lengths, length)
    return PackedInputs(tokens, windows, order, bounds, end_id)


def _recipe(rows: PackedInputs, means: Givens) -> Recipe:
    """Resolve every option; the batch is settled in tokens."""
    options = means.options
    size, rate = options.batch_size, options.learning_rate
    if size is None:
        wanted = STEP_TOKENS.get(means.device.type, STEP_TOKENS["cpu"])
        mean = float(rows.num_told(np.arange(len(rows))).mean())
        size = max(1, min(len(rows), round(wanted / mean)))
        emit("choice", name="batch_size", value=size, why=f"a step reads about {wanted:,} tokens")
    if rate is None and means.start.pretrained_on is not None:
        rate = CONTINUED_RATE
    precision = choose_precision(options.precision, means.device)
    options = replace(options, batch_size=size, learning_rate=rate, precision=precision)
    return pretraining_recipe(options, len(rows))


def _settle_judged(module: NextWords, rows: PackedInputs, means: Givens) -> PackedInputs:
    """Settle which of the held-out rows a check reads, spread over all."""

    def pass_seconds() -> tuple[float, int]:
        arrays = on_device(rows.arrays(next(_passes(rows))), means.device)
        with evaluating(module), torch.no_grad():
            seconds = timed(lambda: float(module(*arrays[:4]).sum()))
        return seconds, int(arrays[0].numel())

    most = settle_checked(pass_seconds, means)
    sizes = rows.num_told(np.arange(len(rows)))
    num = max(1, int(most / float(sizes.mean())))
    if num >= len(rows):
        return rows
    few = np.unique(np.linspace(0, len(rows) - 1, num).astype(np.int64))
    order = [rows.order[rows.bounds[p] : rows.bounds[p + 1]] for p in few.tolist()]
    windows = rows.windows.some(np.concatenate(order))
    bounds = np.cumsum([0, *map(len, order)]).astype(np.int64)
    return replace(rows, windows=windows, order=np.arange(len(windows)), bounds=bounds)
