"""Hidden words: what an encoder learns of texts that nobody has labelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from headstart.data.corpora import TextCorpus
from headstart.errors import StartError
from headstart.events import emit
from headstart.model.words import MaskedWords
from headstart.preprocessing import Preprocess, TokenPreprocess
from headstart.preprocessing.packing import cut_documents
from headstart.preprocessing.vocabulary import train_tokenizer
from headstart.pretraining.beginnings import masked_words
from headstart.pretraining.objective import Givens, Passage, Shown
from headstart.pretraining.step_precision import settle_step_precision
from headstart.pretraining.tokenizing import (
    TokenizedTexts,
    sample_texts,
    settle_vocabulary_size,
    spell,
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
from headstart.starts import BuildRequest, Encoder, build_encoder, learns_from_texts
from headstart.starts.texts.builders import averaged
from headstart.tensors import evaluating, seeded
from headstart.training.batches.masking import Masking
from headstart.training.batches.order import Share
from headstart.training.batches.word_feed import (
    HELD_OUT,
    HiddenWordFeed,
    Hider,
    WindowInputs,
    on_device,
)
from headstart.training.machine.device import choose_precision
from headstart.training.options.pretraining_defaults import mask_fraction_of, pretraining_recipe
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.training.options.recipe import Recipe
from headstart.types import SOLVED, are_alike

STEP_TOKENS = {"cpu": 4_096, "cuda": 16_384}  # science.md E.3: from 4k on
CONTINUED_RATE = 1e-4  # of a start that is pretrained already
_PASS_TOKENS = 8_192  # of a pass without gradients
_SHOWN_TOKENS = 60


class HiddenWordLearner(WordLearner):
    """A masked language model with the windows that it learns from.

    Args:
        module: Encoder and head, on their device.
        recipe: Every training option.
        words: The corpus as tokens.
        hiders: How words are hidden, of what is learned from and of what is held out.
    """

    module: MaskedWords

    def __init__(
        self,
        module: MaskedWords,
        recipe: Recipe,
        words: TokenizedTexts,
        hiders: tuple[Hider, Hider],
    ) -> None:
        self.hider, self.judge = hiders
        super().__init__(module, recipe, words, len(self.hider.inputs))

    def feed(self, share: Share) -> HiddenWordFeed:
        """Return the batches of all steps, of which a share is this process's."""
        return HiddenWordFeed(self.hider, self.recipe, self.device, share)

    def held_out(self) -> Iterator[tuple[tuple[Tensor, ...], np.ndarray]]:
        """Yield batches of the windows that are held out, always hidden alike."""
        inputs = self.judge.inputs
        clusters = clusters_of(inputs.windows.documents)
        for samples in _passes(inputs.lengths):
            arrays = self.judge.hide(HELD_OUT, samples)
            rows = arrays[2] // arrays[0].shape[1]
            yield on_device(arrays, self.device), clusters[samples[rows]]

    def about(self) -> dict[str, object]:
        """Return what was read, and what was hidden."""
        masking = self.hider.masking
        return {
            **super().about(),
            "mask_fraction": masking.share,
            "replacement": masking.replacement,
            "whole_words": self.words.whole,
        }

    def shown(self) -> list[Shown]:
        """Return some held-out texts: as they are, with words hidden, and with those told."""
        inputs = self.judge.inputs
        few = np.unique(np.linspace(0, len(inputs) - 1, NUM_SHOWN).astype(np.int64))
        return [self._show(int(place)) for place in few]

    def _show(self, place: int) -> Shown:
        inputs, tokenizer = self.judge.inputs, self.words.tokenizer
        samples = np.array([place])
        ids, mask, where, told = on_device(self.judge.hide(HELD_OUT, samples), self.device)
        with evaluating(self.module):
            guessed = self.module(ids, mask, where).argmax(-1).cpu().numpy()
        (body,) = inputs.bodies(samples)
        tokens, begins = np.array(inputs.corpus.ids[body]), np.array(inputs.corpus.begins[body])
        places = where.cpu().numpy() - len(inputs.prefix)
        hidden, filled = tokens.copy(), tokens.copy()
        hidden[places], filled[places] = self.hider.masking.mask_id, guessed
        num_right = int((guessed == told.cpu().numpy()).sum())
        shown = [
            Passage(caption, "text", spell(tokenizer, each[:_SHOWN_TOKENS], begins[:_SHOWN_TOKENS]))
            for caption, each in (("original", tokens), ("hidden", hidden), ("told", filled))
        ]
        more = Passage("right", "text", f"{num_right} of {len(places)} hidden tokens")
        return Shown(inputs.names[place], (*shown, more))


def _passes(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Yield samples of like length, as many as a pass takes."""
    order = np.argsort(lengths, kind="stable")
    begin = 0
    while begin < len(order):
        longest = int(lengths[order[min(len(order), begin + 512) - 1]])
        some = order[begin : begin + max(1, min(512, _PASS_TOKENS // longest))]
        yield some
        begin += len(some)


def build_hidden_words(corpus: TextCorpus, means: Givens) -> HiddenWordLearner:
    """Build a learner of hidden words.

    Args:
        corpus: Documents, some of them held out.
        means: Options, start, device, budget, decisions.

    Raises:
        StartError: If the start is no encoder, its tokenizer cannot hide anything, or does not fit.
        DataError: If the tokenizer leaves nothing of the texts.
    """
    texts = sample_texts(corpus)
    encoder = _encoder(corpus, texts, means)
    preprocess = encoder.preprocess
    assert isinstance(preprocess, TokenPreprocess)
    tokenizer = preprocess.tokenizer
    mask_id = tokenizer.mask_id
    if mask_id is None:
        raise StartError(
            f"The tokenizer of '{means.start.address}' has no mask_token, so that nothing can be "
            f"hidden. Expected one such as [MASK]. Choose another start, or begin from scratch."
        )
    words = tokenize(corpus, tokenizer, texts, means)
    options = means.options
    special = set(tokenizer.special_ids)
    masking = Masking(
        share=mask_fraction_of(options),
        replacement=options.replacement,
        mask_id=mask_id,
        num_ids=tokenizer.vocab_size,
        first_id=next(i for i in range(tokenizer.vocab_size) if i not in special),
    )
    learned, held_out = (_inputs(words, preprocess, is_held_out=side) for side in (False, True))
    hider = Hider(learned, masking, options.seed, options.whole_words)
    with seeded(options.seed):
        module = masked_words(encoder, means.start).to(means.device)
    recipe = _recipe(options, learned, means)
    judge = _settle_judge(module, replace(hider, inputs=held_out, seed=0), means)
    learner = HiddenWordLearner(module, recipe, words, (hider, judge))
    settle_step_precision(learner, means)
    return learner


def _encoder(corpus: TextCorpus, texts: list[str], means: Givens) -> Encoder:
    """Build the encoder, from scratch with a vocabulary of these texts."""
    options, start = means.options, means.start
    if not are_alike(start, corpus):
        raise StartError(
            f"Start '{start.address}' reads {start.modality}s, and objective mlm learns from "
            f"texts. Choose an encoder for texts, for example --start scratch/bert-tiny."
        )
    if start.family in SOLVED:
        raise StartError(
            f"'{start.address}' counts words and reads no text, so that none of them can be told. "
            f"Expected an encoder. Choose one, for example --start scratch/bert-tiny."
        )
    learned: Preprocess | None = None
    if learns_from_texts(start):
        wanted = settle_vocabulary_size(options, corpus.num_characters)
        tokenizer = train_tokenizer(texts, start.address, vocab_size=wanted)
        tell_vocabulary(tokenizer, wanted)
        learned = TokenPreprocess(tokenizer)
    request = BuildRequest(
        texts=texts,
        preprocess=learned,
        column=corpus.column,
        max_length=options.max_length,
        seed=options.seed,
    )
    return averaged(build_encoder(start, request))


def _inputs(
    words: TokenizedTexts, preprocess: TokenPreprocess, *, is_held_out: bool
) -> WindowInputs:
    """Return the windows of one side."""
    tokens, tokenizer = words.tokens, preprocess.tokenizer
    prefix, suffix = tokenizer.frame
    documents = tokens.documents(is_held_out=is_held_out)
    room = tokenizer.max_length - len(prefix) - len(suffix)
    windows = cut_documents(documents, tokens.lengths[documents], room)
    # of one token alone nothing is told but that it is there
    long = np.flatnonzero(windows.lengths > 1)
    windows = windows.some(long) if len(long) else windows
    return WindowInputs(tokens, windows, prefix, suffix, tokenizer.pad_id)


def _recipe(options: PretrainingOptions, learned: WindowInputs, means: Givens) -> Recipe:
    """Resolve every option; the batch is settled in tokens."""
    size, rate = options.batch_size, options.learning_rate
    if size is None:
        wanted = STEP_TOKENS.get(means.device.type, STEP_TOKENS["cpu"])
        size = max(1, min(len(learned), round(wanted / float(learned.lengths.mean()))))
        why = f"a step reads about {wanted:,} tokens"
        emit("choice", name="batch_size", value=size, why=why)
    if rate is None and means.start.pretrained_on is not None:
        rate = CONTINUED_RATE
    precision = choose_precision(options.precision, means.device)
    options = replace(options, batch_size=size, learning_rate=rate, precision=precision)
    return pretraining_recipe(options, len(learned))


def _settle_judge(module: MaskedWords, hider: Hider, means: Givens) -> Hider:
    """Settle which of the held-out windows a check reads, spread over all."""
    inputs = hider.inputs

    def pass_seconds() -> tuple[float, int]:
        some = next(_passes(inputs.lengths[:256]))
        arrays = on_device(hider.hide(HELD_OUT, some), means.device)
        with evaluating(module), torch.no_grad():
            seconds = timed(lambda: float(module(*arrays[:3]).sum()))
        return seconds, int(arrays[1].sum())

    most = settle_checked(pass_seconds, means)
    num = max(1, int(most / float(inputs.lengths.mean())))
    if num >= len(inputs):
        return hider
    few = np.unique(np.linspace(0, len(inputs) - 1, num).astype(np.int64))
    return replace(hider, inputs=replace(inputs, windows=inputs.windows.some(few)))
