"""A decoder with its head: ids in rows to what it tells of each token that is to be told.

Logits as wide as a vocabulary exist for the tokens that are told, some at a time, and nowhere else:
what is handed on of a sample is sums. Documents or conversations that share a row see themselves
alone. transformers' own classes compute, so that the same weights give the same logits there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from headstart.decoding import Steps, WritingRules
from headstart.decoding.search import OnToken
from headstart.starts.texts.configs import MAX_NUMBER
from headstart.starts.texts.decoders import DECODERS
from headstart.starts.texts.networks import largest_list
from headstart.starts.texts.stepping import DecoderSteps
from headstart.starts.texts.word_heads import language_model
from headstart.starts.texts.writing import WritingNetwork, rules_of_decoder, write_with
from headstart.types.texts import Telling

NUM_SUMS = 4
_LOGITS_AT_ONCE = 2**24  # numbers, of which a step holds a few copies: 340 tokens of 49,152


class LanguageNetwork(WritingNetwork):
    """transformers' language model, which is asked what it tells of some tokens.

    Args:
        model: Of ``AutoModelForCausalLM``.

    Attributes:
        model: See above.
        num_features: Sums that are given of a sample.
    """

    num_features = NUM_SUMS
    hands_on_sums = True
    hands_on_tokens = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        from transformers import GenerationConfig

        self.model: Any = model
        self.model.generation_config = GenerationConfig()  # what is written is ours to say
        self._tied = _tied_name(self)
        self.register_state_dict_post_hook(_without_tied)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_tied)  # type: ignore[no-untyped-call]

    def forward(
        self, ids: Tensor, positions: Tensor, segments: Tensor, where: Tensor, told: Tensor
    ) -> Tensor:
        """Return what is told of samples, as sums over their tokens.

        Args:
            ids: int64, shape (R, T).
            positions: int64, shape (R, T).
            segments: int64, shape (R, T): tokens see those before them of the same segment.
            where: int64, shape (B, W), places in ids, flattened, that tell something of a sample;
                filled up with -1.
            told: int64, shape (B, W), the tokens that are told there.

        Returns:
            float32, shape (B, 4): the losses of the tokens in nats; how many they are; how many of
            them were the likeliest; and losses against a target that is spread over the whole
            vocabulary, of which smoothing takes its share.
        """
        states = self.states(ids, positions, segments).flatten(0, 1)
        is_told = where >= 0
        losses = self._losses(states[where[is_told]], told[is_told])
        sums = torch.zeros(*where.shape, NUM_SUMS, dtype=torch.float32, device=where.device)
        sums = sums.masked_scatter(is_told[..., None].expand_as(sums), losses)
        return sums.sum(1)

    def tokens(self, *inputs: Tensor) -> Tensor:
        """Return what ``forward`` does: what it tells of tokens is its own."""
        found: Tensor = self(*inputs)
        return found

    def states(self, ids: Tensor, positions: Tensor, segments: Tensor) -> Tensor:
        """Return the last hidden states (R, T, D) of what ``forward`` takes."""
        length = ids.shape[1]
        before = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        seen = (segments[:, :, None] == segments[:, None, :]) & before
        output = self.model.base_model(
            input_ids=ids, attention_mask=seen[:, None], position_ids=positions, use_cache=False
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def logits(self, states: Tensor) -> Tensor:
        """Return logits (M, V) of states (M, D)."""
        found: Tensor = self.model.get_output_embeddings()(states)
        return found

    def _losses(self, states: Tensor, told: Tensor) -> Tensor:
        """Return what is told of tokens (M, 4), some at a time, so that few logits are held."""
        size = max(1, _LOGITS_AT_ONCE // int(self.model.config.vocab_size))
        if len(states) <= size:
            return self._some(states, told)
        parts = []
        for begin in range(0, len(states), size):
            some, wanted = states[begin : begin + size], told[begin : begin + size]
            if torch.is_grad_enabled():
                found: Tensor = checkpoint(self._some, some, wanted, use_reentrant=False)
            else:
                found = self._some(some, wanted)
            parts.append(found)
        return torch.cat(parts)

    def _some(self, states: Tensor, told: Tensor) -> Tensor:
        logits = self.logits(states).float()
        whole = logits.logsumexp(-1)
        loss = whole - logits.gather(1, told[:, None])[:, 0]
        is_right = (logits.argmax(-1) == told).float()
        return torch.stack([loss, torch.ones_like(loss), is_right, whole - logits.mean(-1)], 1)

    def layer_groups(self) -> list[list[str]]:
        """Return parameter names by depth: embeddings, each block, what follows with the last."""
        prefix, blocks = largest_list(self)
        groups: list[list[str]] = [[] for _ in range(len(blocks) + 2)]
        place = 0
        for name, _ in self.named_parameters():
            if name.startswith(f"{prefix}."):
                place = int(name.removeprefix(f"{prefix}.").partition(".")[0]) + 1
            elif place > 0:
                place = len(groups) - 1
            groups[place].append(name)
        *found, last = groups
        found[-1] += last  # the last norm and a head of its own belong to the last block
        return [group for group in found if group]

    def max_positions(self) -> int:
        """Return how many tokens the positions reach; a very large number where nothing says."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        return limit if isinstance(limit, int) and limit > 0 else MAX_NUMBER

    def blank_inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return one blank sample as ``forward`` takes it."""
        row = torch.arange(4, device=device)[None]
        ones = torch.ones_like(row)
        return ones, row, torch.zeros_like(row), row[:, 1:], ones[:, 1:]

    def tell(
        self, ids: Tensor, mask: Tensor, *, how: Telling, on_token: OnToken | None = None
    ) -> Tensor:
        """Return what is written, one token after the other, with a cache of those before.

        Args:
            ids: int64, shape (B, T), what it is written to, padded before it.
            mask: int64, shape (B, T), 1 where there is a token.
            how: Beams, length, and whether tokens are drawn.
            on_token: Takes each token as it is written, of one row without beams.

        Returns:
            int64, shape (B, L), filled up with the token that ends a text.
        """
        return write_with(self.steps(ids, mask), self.rules, ids, mask, how, on_token=on_token)

    def steps(self, ids: Tensor, mask: Tensor) -> Steps:
        """Return the network with what it has not read yet, to be asked token by token.

        Args:
            ids: See ``tell``.
            mask: See ``tell``.
        """
        return DecoderSteps(self.model, ids, mask)

    @property
    def rules(self) -> WritingRules:
        """What it may write."""
        return rules_of_decoder(self.model.config)

    def save_memory(self) -> None:
        """Compute each block again on the way back, in place of keeping what it computed."""
        how, model = {"use_reentrant": False}, self.model
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)(how)  # of releases before 5.24 the second


def build_language_model(config: dict[str, object]) -> nn.Module:
    """Build a decoder with its head, with random weights from the current random state.

    Args:
        config: As ``DECODERS.clean`` gives it.

    Raises:
        StartError: If the configuration is not one that headstart builds.
    """
    read = DECODERS.config(config)
    return LanguageNetwork(language_model(read, "causal", "architecture"))


def _tied_name(network: LanguageNetwork) -> str:
    """Return the name of the last matrix where it is the table of embeddings; else an empty one."""
    output, given = network.model.get_output_embeddings(), network.model.get_input_embeddings()
    if output is None or output.weight is not given.weight:
        return ""
    modules = {module: name for name, module in network.named_modules()}
    return f"{modules[output]}.weight"


def _without_tied(module: Any, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
    """Leave the last matrix out of a state dict that has it as embeddings already."""
    del metadata
    if module._tied:
        state.pop(f"{prefix}{module._tied}", None)


def _with_tied(module: Any, state: dict[str, Tensor], prefix: str, *_others: object) -> None:
    """Put it back where a state dict is loaded."""
    name = f"{prefix}{module._tied}"
    if module._tied and name not in state:
        names = {id(each): called for called, each in module.named_modules()}
        given = f"{prefix}{names[id(module.model.get_input_embeddings())]}.weight"
        if given in state:
            state[name] = state[given]


def own_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of ``LanguageNetwork`` under the names of transformers' own model."""
    return {name.removeprefix("model."): tensor for name, tensor in state.items()}
