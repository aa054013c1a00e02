"""Texts, and configurations of transformers encoders that are built in milliseconds."""

from __future__ import annotations

TEXTS = [
    "a warm and funny film", "a cold and dull film", "the plot is thin , the jokes are old",
    "one of the best films of the year", "this is not a good film at all", "dull , dull , dull",
    "the best jokes of the year", "warm , funny and not at all dull", "a film about a film",
    "the cast is good and the plot is good",
] * 3  # fmt: skip

TINY: dict[str, object] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
}
# What some kinds call otherwise, or need besides, to be as tiny.
TINY_OWN: dict[str, dict[str, object]] = {
    "albert": {"embedding_size": 16},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "conv_kernel_size": 3,
    },
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48},
    "electra": {"embedding_size": 16},
    "eurobert": {"num_key_value_heads": 4},
    "mobilebert": {
        "embedding_size": 16,
        "intra_bottleneck_size": 16,
        "true_hidden_size": 16,
        "num_feedforward_networks": 2,
    },
    "modernbert": {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "squeezebert": {
        f"{part}_groups": 1
        for part in ("q", "k", "v", "post_attention", "intermediate", "output")
    } | {"embedding_size": 32},
}  # fmt: skip


def tiny_record(kind: str, vocab_size: int = 120) -> dict[str, object]:
    """Return a configuration of a tiny encoder."""
    own = TINY_OWN.get(kind, {})
    return {"model_type": kind, "vocab_size": vocab_size, **TINY, **own}
