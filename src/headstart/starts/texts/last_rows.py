"""Last states of some tokens alone: what follows the last attention is computed for no others.

Of a text with hidden words only these are told. Every token is read by them, so that all blocks but
the last compute all; but behind the last attention each token stands for itself, and its two widest
products, three quarters of a block, are left out for those that nobody asks for. With a fifth of
the words hidden that is an eighth of the encoder of four blocks, forward and back.

Left out: architectures whose block adds its input outside of what takes the attention's output
(ModernBERT, DistilBERT and others), or whose one block is run several times (ALBERT): they compute
all rows, of which some are taken; compiled networks, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Blocks in which ``attention.output(mixed, input)`` is the first to work token by token, and all
# behind it does. The tests go over every architecture.
ROW_BY_ROW = frozenset(
    (
        "bert",
        "camembert",
        "data2vec-text",
        "electra",
        "ernie",
        "megatron-bert",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roformer",
        "xlm-roberta",
        "xlm-roberta-xl",
    )
)


def rows_of(states: Tensor, where: Tensor) -> Tensor:
    """Return some rows (M, D) of states (B, T, D), by their places in B times T."""
    return states.flatten(0, 1).index_select(0, where)


def last_rows(compute: Callable[[], Tensor], model: Any, last: nn.Module, where: Tensor) -> Tensor:
    """Return the last hidden states of some tokens.

    Args:
        compute: Runs the encoder and returns its last hidden states, shape (B, T, D).
        model: The encoder, of transformers.
        last: Its last block.
        where: int64, shape (M,), places in B times T.

    Returns:
        Shape (M, D).
    """
    kind = getattr(model.config, "model_type", None)
    if kind not in ROW_BY_ROW or torch.compiler.is_compiling():
        return rows_of(compute(), where)

    def take(
        module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        del module
        return tuple(_taken(a, where) for a in args), {
            name: _taken(value, where) for name, value in kwargs.items()
        }

    behind = last.get_submodule("attention.output")
    handle = behind.register_forward_pre_hook(take, with_kwargs=True)
    try:
        (found,) = compute()  # one row of all that are wanted
    finally:
        handle.remove()
    assert isinstance(found, Tensor)
    return found


def _taken(value: Any, where: Tensor) -> Any:
    """Return the rows of a tensor of states, as one text; anything else as it is."""
    return rows_of(value, where)[None] if isinstance(value, Tensor) and value.ndim == 3 else value
