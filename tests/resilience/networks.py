"""What the processes of ``pair.py`` fine-tune; small, and with the same weights in each."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headstart.data import load
from headstart.types import ImageSpec


def small_vit():
    """Return a small vision transformer, with the same weights in every process."""
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(
        img_size=8, patch_size=2, in_chans=1, num_classes=0, embed_dim=32, depth=2, num_heads=4
    )


def smooth_cnn():
    """Return a small convolutional network without a kink, with the same weights in each process.

    Where one process adds up in another order than two, the last bits differ. A ReLU or a maximum
    that lies within them of its kink sends the gradient another way, which is chance, and no matter
    of this house.
    """
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.Tanh(),
        nn.Conv2d(16, 32, 3),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
    )


def reviews():
    """Return made-up reviews and their labels, as arrays."""
    words = {"good": ["warm", "funny", "clever"], "bad": ["dull", "clumsy", "bland"]}
    draws = np.random.default_rng(0)
    labels = [("good", "bad")[i % 2] for i in range(200)]
    texts = [
        f"the film of scene {i} is {' and '.join(draws.choice(words[label], 1 + i % 4))}"
        for i, label in enumerate(labels)
    ]
    return np.array(texts, dtype=object), np.array(labels)


def save_bert(folder):
    """Write a small BERT without dropout as transformers does; its folder is a start."""
    from transformers import BertConfig, BertForMaskedLM

    from headstart.preprocessing.vocabulary import train_tokenizer

    tokenizer = train_tokenizer(list(reviews()[0]), "bert", vocab_size=200)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    for name, content in tokenizer.files().items():
        (folder / name).write_bytes(content)


def bert():
    texts, labels = reviews()
    return {
        "data": load((texts, labels)),
        "start": str(Path(os.environ["TINY_BERT"])),
        "strategy": "full",
        "augment": "none",
    }


def normed():
    """Return a network that begins with a BatchNorm, whose statistics are those of the images."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )


SPEC = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
NETWORKS = {
    "cnn": lambda: {"start": "scratch/simple-cnn"},
    "smooth": lambda: {"start": smooth_cnn(), "spec": SPEC, "strategy": "full"},
    "bert": bert,
    "vit": lambda: {
        "start": small_vit(),
        "spec": SPEC,
        "strategy": "full",
    },
    "normed": lambda: {
        "start": normed(),
        "spec": SPEC,
        "strategy": "full",
        "batchnorm": "train",
    },
}
