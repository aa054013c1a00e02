"""Texts: how much each word speaks for an answer, and deleting words.

A network that reads tokens is explained by integrated gradients of its word embeddings, from the
padding token's embedding to that of each token; the gradients of several models' first is taken.
Where there are no embeddings to differentiate by (TF-IDF), each word is left out once, which of a
linear model is exact. Words are what stands between blanks, of Chinese and Japanese each character.

Source:
    M. Sundararajan, A. Taly and Q. Yan, ICML 2017, Axiomatic Attribution for Deep Networks,
    equation 3, by a midpoint sum of 8 steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.explaining.answers import Answerer
from headstart.explaining.faithfulness import NUM_RANDOM, Faithfulness, judge, num_deleted
from headstart.explaining.heat import score_of
from headstart.model import Model
from headstart.preprocessing import TokenPreprocess
from headstart.tensors import evaluating

GRADIENTS, LEFT_OUT = "Integrated gradients", "Leaving each word out"
_NUM_STEPS = 8
_MAX_WORDS = 120  # of one text; what follows has no weight
_EAST_ASIAN = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_EAST_ASIAN}]|[^\s{_EAST_ASIAN}]+")
Span = tuple[int, int]


def word_spans(text: str) -> list[Span]:
    """Return where the words of a text begin and end: its first 120."""
    found = _WORD.finditer(text)
    return [one.span() for one, _ in zip(found, range(_MAX_WORDS), strict=False)]


def method_of_texts(answerer: Answerer) -> str:
    """Return how texts are explained."""
    return GRADIENTS if _embedding(answerer.ensemble.first) is not None else LEFT_OUT


def word_weights(answerer: Answerer, texts: Sequence[str]) -> list[np.ndarray]:
    """Return how much each word of texts speaks for the answer, one array a text.

    Args:
        answerer: Whoever answers.
        texts: N texts that can be read.
    """
    model = answerer.ensemble.first
    before = answerer.told(texts)
    if _embedding(model) is None:
        return [_left_out(answerer, text, before[k : k + 1]) for k, text in enumerate(texts)]
    chosen = answerer.chosen(before)
    return [_integrated(model, text, int(chosen[k])) for k, text in enumerate(texts)]


def check_texts(
    answerer: Answerer, texts: Sequence[str], draw: np.random.Generator
) -> Faithfulness:
    """Delete the fifth of the words that speak most for the answer, and as many at random.

    Args:
        answerer: Whoever answers.
        texts: N texts that can be read; those of one word are left out.
        draw: Of random words.
    """
    long = [text for text in texts if len(word_spans(text)) > 1]
    if not long:
        return judge(np.empty(0), np.empty(0))
    before = answerer.told(long)
    strongest, random = [], []
    for text, weights in zip(long, word_weights(answerer, long), strict=True):
        number = num_deleted(len(weights))
        strongest.append(without_words(text, np.argsort(-weights, kind="stable")[:number]))
        draws = (draw.permutation(len(weights))[:number] for _ in range(NUM_RANDOM))
        random.append([without_words(text, chosen) for chosen in draws])
    deleted = answerer.fall(before, answerer.told(strongest))
    falls = [
        answerer.fall(before, answerer.told([each[k] for each in random]))
        for k in range(NUM_RANDOM)
    ]
    return judge(deleted, np.mean(falls, axis=0))


def without_words(text: str, places: Sequence[int] | np.ndarray) -> str:
    """Return a text without some of its words, blanks that are left joined.

    Args:
        text: Any text.
        places: Which of ``word_spans``; never all of them.
    """
    spans = word_spans(text)
    kept, end = [], 0
    for place in sorted(int(one) for one in places):
        kept.append(text[end : spans[place][0]])
        end = spans[place][1]
    return re.sub(r"[ \t]{2,}", " ", "".join([*kept, text[end:]])).strip() or text


def explain_texts(answerer: Answerer, texts: Sequence[str]) -> list[dict[str, object]]:
    """Return for each text ``words``: its pieces in order, each with its weight.

    Args:
        answerer: Whoever answers.
        texts: N texts that can be read.
    """
    found: list[dict[str, object]] = []
    for text, weights in zip(texts, word_weights(answerer, texts), strict=True):
        pieces: list[list[object]] = []
        end = 0
        for (begin, stop), weight in zip(word_spans(text), weights.tolist(), strict=True):
            pieces += [[text[end:begin], 0.0]] if begin > end else []
            pieces.append([text[begin:stop], weight])
            end = stop
        rest = text[end : end + 200]
        found.append({"words": [*pieces, [rest, 0.0]] if rest else pieces})
    return found


def _left_out(answerer: Answerer, text: str, before: np.ndarray) -> np.ndarray:
    """Return by how much the answer falls without each word."""
    spans = word_spans(text)
    if len(spans) < 2:
        return np.zeros(len(spans))
    outputs = answerer.told([without_words(text, [place]) for place in range(len(spans))])
    return answerer.fall(np.repeat(before, len(spans), axis=0), outputs)


def _embedding(model: Model) -> nn.Module | None:
    """Return the layer that turns ids into vectors; None where there is none to be found."""
    network: Any = getattr(model.encoder.network, "model", None)
    if not isinstance(model.encoder.preprocess, TokenPreprocess) or network is None:
        return None
    found = network.get_input_embeddings() if hasattr(network, "get_input_embeddings") else None
    return found if isinstance(found, nn.Module) else None


def _integrated(model: Model, text: str, chosen: int) -> np.ndarray:
    """Return integrated gradients of a text's words."""
    read, layer = model.encoder.preprocess, _embedding(model)
    assert isinstance(read, TokenPreprocess)
    assert layer is not None
    spans, words = read.tokenizer.spans(text), word_spans(text)
    inputs = read.read([text])
    ids, mask = (torch.from_numpy(part).to(model.device) for part in inputs.arrays(np.arange(1)))
    is_text = torch.tensor([end > begin for begin, end in spans], device=model.device)
    with evaluating(model):
        own: Tensor = layer(ids)
        nothing: Tensor = layer(torch.full_like(ids, read.tokenizer.pad_id))
        base = torch.where(is_text[None, :, None], nothing, own)
        steps = (torch.arange(_NUM_STEPS, device=model.device) + 0.5) / _NUM_STEPS
        with torch.enable_grad():
            path = (base + steps[:, None, None] * (own - base)).detach().requires_grad_(True)
            handle = layer.register_forward_hook(lambda *_: path)
            try:
                logits = model(ids.expand(_NUM_STEPS, -1), mask.expand(_NUM_STEPS, -1))
            finally:
                handle.remove()
            picked = torch.full((_NUM_STEPS,), chosen, device=model.device)
            (gradient,) = torch.autograd.grad(score_of(model, logits, picked).sum(), path)
        weights = ((own - base)[0] * gradient.mean(dim=0)).sum(dim=1).float().cpu().numpy()
    return _by_word(weights, spans, words)


def _by_word(weights: np.ndarray, spans: Sequence[Span], words: Sequence[Span]) -> np.ndarray:
    """Return the summed weights of the tokens that begin in each word.

    Args:
        weights: Of the tokens.
        spans: Where each of them stands in the text; empty for special ones.
        words: Where the words stand, rising.
    """
    found = np.zeros(len(words))
    ends = np.array([end for _, end in words])
    for weight, (begin, end) in zip(weights.tolist(), spans, strict=True):
        # a token may begin with the blank before its word
        place = int(np.searchsorted(ends, (begin + end) / 2, side="right"))
        if end > begin and place < len(words):
            found[place] += weight
    return found
