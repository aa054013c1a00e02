"""Small images with captions, and a pair of small encoders that has learned from them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import headstart as hs

PAIR = "scratch/simple-cnn+scratch/bert-tiny"
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 190, 40),
    "blue": (30, 40, 220),
    "yellow": (230, 215, 20),
    "white": (245, 245, 245),
    "black": (8, 8, 8),
}
SIZE = 16
CLIP_SIZE, CLIP_LONGEST = 32, 16


def pictures(num: int) -> list[tuple[np.ndarray, tuple[str, str]]]:
    """Return images, each one colour above another, with two captions that say which."""
    draw = np.random.default_rng(0)
    found = []
    pairs = itertools.cycle(itertools.permutations(COLOURS, 2))
    for above, below in itertools.islice(pairs, num):
        pixels = np.empty((SIZE, SIZE, 3))
        cut = int(draw.integers(6, 11))
        pixels[:cut], pixels[cut:] = COLOURS[above], COLOURS[below]
        pixels += draw.normal(0, 9, pixels.shape)
        captions = (f"{above} above {below}", f"below is {below} and above it {above}")
        found.append((pixels.clip(0, 255).astype(np.uint8), captions))
    return found


def write_pictures(folder: Path, num: int = 60) -> list[tuple[str, str]]:
    """Write images; return rows of file name and caption."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (pixels, captions) in enumerate(pictures(num)):
        name = f"{number:03d}.png"
        Image.fromarray(pixels).save(folder / name)
        rows += [(name, caption) for caption in captions]
    return rows


def write_flickr(folder: Path, num: int = 60) -> Path:
    """Write a folder as Flickr8k's: images, and ``captions.txt``."""
    rows = write_pictures(folder / "Images", num)
    lines = ["image,caption", *(",".join(row) for row in rows)]
    (folder / "captions.txt").write_text("\n".join(lines) + "\n")
    return folder


def pair_run(folder: Path, **said: object) -> hs.Run:
    """Fine-tune a small pair."""
    data = write_flickr(folder / "pictures")
    given = {"start": PAIR, "num_steps": 30, "batch_size": 24, "learning_rate": 2e-3} | said
    return hs.finetune(str(data), out=str(folder / "run"), device="cpu", quiet=True, **given)


def write_clip(path: Path, kind: str = "clip") -> Path:
    """Write a small CLIP, or SigLIP, with random weights, as ``save_pretrained`` does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import CLIPModel, PreTrainedTokenizerFast, SiglipModel

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<unk>", "<start>", "<end>"]
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=special)
    made.train_from_iterator(["a photo of a cat and a dog . an image picture the"] * 3, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", eos_token="<end>", pad_token="<end>"
    )
    model: Any = SiglipModel if kind == "siglip" else CLIPModel
    width = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    width |= {"num_hidden_layers": 2}
    common = {} if kind == "siglip" else {"projection_dim": 12}
    of_texts = {"vocab_size": 120, "max_position_embeddings": CLIP_LONGEST, "eos_token_id": 2}
    config = model.config_class(
        text_config={**width, **common, **of_texts, "pad_token_id": 2, "bos_token_id": 1},
        vision_config={**width, **common, "image_size": CLIP_SIZE, "patch_size": 8},
        **common,
    )
    torch.manual_seed(0)
    model(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
