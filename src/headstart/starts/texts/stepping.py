"""Networks of transformers a token at a time, with what they have read in plain tensors.

Modules whose inputs and outputs are tensors alone: keys and values go in and come out, grown by
what was read. PyTorch writes with them, and they are what is exported, so that both compute the
same. Left out: caches of a fixed size, windows that slide.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.decoding import are_others

Past = Sequence[Tensor]  # keys and values of each block in turn, (B, H, P, D) each


@cache
def _layer() -> Any:
    """Return the class of a block's keys and values, which may be none: a length of 0 is one."""
    from transformers.cache_utils import DynamicLayer

    class GrownLayer(DynamicLayer):  # type: ignore[misc]
        """Says its length without asking whether there is one, which an exporter would fix."""

        def get_seq_length(self) -> Any:
            """Return how many tokens were read."""
            assert self.keys is not None
            return self.keys.shape[-2]

    return GrownLayer


def _cache_of(past: Past) -> Any:
    """Return transformers' cache of what was read."""
    from transformers.cache_utils import DynamicCache

    found = DynamicCache()
    for keys, values in zip(past[::2], past[1::2], strict=True):
        layer = _layer()()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        found.layers.append(layer)
    return found


def _tensors_of(found: Any) -> list[Tensor]:
    return [tensor for layer in found.layers for tensor in (layer.keys, layer.values)]


def _cached(model: nn.Module, found: Any) -> dict[str, Any]:
    """Return a cache under the name that this release of transformers has for it."""
    kind: Any = type(model)
    return {_cache_name(kind): found, "use_cache": True}


@cache
def _cache_name(kind: Any) -> str:
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"


class DecoderStep(nn.Module):
    """A decoder, asked for the token behind some that follow what it has read.

    Args:
        model: Of ``AutoModelForCausalLM``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, past_mask: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        """Return logits (B, V) of what follows the last token, and keys and values (B, H, P+T, D).

        Args:
            input_ids: int64, shape (B, T), padded before the first.
            attention_mask: int64, shape (B, T), 1 where there is a token.
            past_mask: int64, shape (B, P), the same of what was read.
            past: Keys and values of each block, (B, H, P, D) each.
        """
        length = input_ids.shape[1]
        mask = torch.cat([past_mask, attention_mask], dim=1)
        places = torch.arange(mask.shape[1], device=mask.device)
        own = places[-length:]
        before = places[None, :] <= own[:, None]
        # what fills a row up sees itself: it has to see something
        seen = (before & mask.bool()[:, None, :]) | (places[None, :] == own[:, None])
        # fused kernels take what is seen as it is; written out it is added to the scores
        is_fused = self.model.config._attn_implementation == "sdpa"
        dtype = self.model.dtype
        shown = seen if is_fused else torch.where(seen, 0.0, torch.finfo(dtype).min).to(dtype)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -length:]
        grown = _cache_of(past)
        found = self.model.base_model(
            input_ids=input_ids,
            attention_mask=shown[:, None],
            position_ids=positions,
            **_cached(self.model.base_model, grown),
        )
        last = found.last_hidden_state[:, -1]
        logits: Tensor = self.model.get_output_embeddings()(last)
        return (logits, *_tensors_of(grown))


class SequenceBegin(nn.Module):
    """An encoder–decoder that reads a text, and is asked for the first token of another.

    Args:
        model: Of ``AutoModelForSeq2SeqLM``.
        begin_id: What stands before the first token.
    """

    def __init__(self, model: nn.Module, begin_id: int) -> None:
        super().__init__()
        self.model: Any = model
        self.begin_id = begin_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Return logits (B, V), and keys and values of what was written and of the text.

        Args:
            input_ids: int64, shape (B, T), padded at the end.
            attention_mask: int64, shape (B, T), 1 where there is a token.
        """
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        read = self.model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask)
        both = EncoderDecoderCache(DynamicCache(), DynamicCache())
        found = self.model(
            encoder_outputs=read,
            attention_mask=attention_mask,
            decoder_input_ids=torch.full_like(input_ids[:, :1], self.begin_id),
            **_cached(self.model, both),
        )
        own = _tensors_of(both.self_attention_cache)
        return (found.logits[:, -1], *own, *_tensors_of(both.cross_attention_cache))


class SequenceStep(nn.Module):
    """An encoder–decoder, asked for the token behind one that was written.

    Args:
        model: Of ``AutoModelForSeq2SeqLM``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(
        self, token_ids: Tensor, attention_mask: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        """Return logits (B, V), and keys and values (B, H, P+1, D) of what was written.

        Args:
            token_ids: int64, shape (B, 1).
            attention_mask: int64, shape (B, T), of the text: 1 where there is a token.
            past: Keys and values of each block, of what was written (B, H, P, D), then of the text
                (B, H, T, D).
        """
        from transformers.cache_utils import EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        half = len(past) // 2
        both = EncoderDecoderCache(_cache_of(past[:half]), _cache_of(past[half:]))
        both.is_updated = dict.fromkeys(range(half // 2), True)
        # the text itself is asked for nothing but its length: keys and values of it are there
        batch, length = attention_mask.shape
        width = self.model.get_input_embeddings().weight.shape[1]
        text = torch.zeros(batch, length, width, dtype=past[0].dtype, device=past[0].device)
        found = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=text),
            attention_mask=attention_mask,
            decoder_input_ids=token_ids,
            **_cached(self.model, both),
        )
        return (found.logits[:, -1], *_tensors_of(both.self_attention_cache))


class DecoderSteps:
    """A decoder as ``decoding.Steps``.

    Args:
        model: Of ``AutoModelForCausalLM``.
        ids: int64, shape (B, T), what is written to, padded before it.
        mask: int64, shape (B, T).
    """

    def __init__(self, model: nn.Module, ids: Tensor, mask: Tensor) -> None:
        self._step, self._ids, self._mask = DecoderStep(model), ids, mask
        self._past: list[Tensor] = []

    def begin(self) -> np.ndarray:
        """Read what is written to; as ``decoding.Steps``."""
        past = nothing_read(self._step.model, len(self._ids))
        logits, *self._past = self._step(self._ids, self._mask, self._mask[:, :0], *past)
        return _numbers(logits)

    def advance(self, tokens: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """Go on by a token; as ``decoding.Steps``."""
        places = torch.from_numpy(origins).to(self._ids.device)
        ids = torch.from_numpy(tokens).to(self._ids.device)[:, None]
        if are_others(origins, len(self._mask)):
            self._past = [one.index_select(0, places) for one in self._past]
            self._mask = self._mask.index_select(0, places)
        new = torch.ones_like(ids)
        logits, *self._past = self._step(ids, new, self._mask, *self._past)
        self._mask = torch.cat([self._mask, new], dim=1)
        return _numbers(logits)


class SequenceSteps:
    """An encoder–decoder as ``decoding.Steps``.

    Args:
        model: Of ``AutoModelForSeq2SeqLM``.
        begin_id: What stands before the first token.
        ids: int64, shape (B, T), the texts, padded at the end.
        mask: int64, shape (B, T).
    """

    def __init__(self, model: nn.Module, begin_id: int, ids: Tensor, mask: Tensor) -> None:
        self._begin, self._step = SequenceBegin(model, begin_id), SequenceStep(model)
        self._ids, self._mask = ids, mask
        self._own: list[Tensor] = []
        self._read: list[Tensor] = []
        self._owners = np.arange(len(ids))  # the text of each row

    def begin(self) -> np.ndarray:
        """Read the texts; as ``decoding.Steps``."""
        logits, *past = self._begin(self._ids, self._mask)
        half = len(past) // 2
        self._own, self._read = past[:half], past[half:]
        return _numbers(logits)

    def advance(self, tokens: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """Go on by a token; as ``decoding.Steps``."""
        places = torch.from_numpy(origins).to(self._ids.device)
        if are_others(origins, len(self._owners)):
            self._own = [one.index_select(0, places) for one in self._own]
        owners = self._owners[origins]
        if not np.array_equal(owners, self._owners):
            self._read = [one.index_select(0, places) for one in self._read]
            self._mask = self._mask.index_select(0, places)
        self._owners = owners
        ids = torch.from_numpy(tokens).to(self._ids.device)[:, None]
        logits, *self._own = self._step(ids, self._mask, *self._own, *self._read)
        return _numbers(logits)


def nothing_read(model: Any, num: int) -> list[Tensor]:
    """Return keys and values of a decoder that has read nothing, (B, H, 0, D) each.

    Args:
        model: Of ``AutoModelForCausalLM``.
        num: Rows.
    """
    config, kind = model.config, {"dtype": model.dtype, "device": model.device}
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    blocks = 2 * int(config.num_hidden_layers)
    return [torch.zeros(num, int(heads), 0, int(size), **kind) for _ in range(blocks)]


def _numbers(logits: Tensor) -> np.ndarray:
    found: np.ndarray = logits.float().cpu().numpy()
    return found
