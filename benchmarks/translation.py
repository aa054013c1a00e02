"""Translate Multi30k from English into German: headstart beside a plain program, the same seconds.

The plain program is what people write: ``nn.Transformer`` of the same width and depth, one shared
BPE vocabulary, Adam with warm-up, label smoothing, batches of like length, greedy answers; it stops
in time to answer and keeps its last weights. Both are scored by sacrebleu on test_2016_flickr, and
compared by a paired bootstrap of its sentences.

    python benchmarks/translation.py data/multi30k-en-de --seconds 1800 --out translation.json
    python benchmarks/translation.py data/multi30k-en-de --together    # a core each, at once
    python benchmarks/translation.py data/multi30k-en-de --attention   # of a step alone

Published, Multi30k en-de, test_2016_flickr, text alone (BLEU of tokens, in part lower-cased, so
that a point or two say nothing): 41.0 Transformer-Tiny, trained to convergence on a GPU (Z. Wu et
al., ACL 2021, "Good for misconceived reasons").
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import headstart as hs
from headstart.evaluation import compare_texts, count_texts, figure_to_json, score_texts
from headstart.preprocessing.vocabulary import train_pair_tokenizer

WIDTH, BLOCKS, HEADS, INNER, DROPOUT, VOCABULARY = 256, 3, 4, 1024, 0.1, 6144
BATCH, RATE, WARMUP, SMOOTHING = 128, 7e-4, 500, 0.1
ANSWER_SHARE, MOST_TOKENS = 0.04, 60  # of the seconds, for test


def lines(folder: Path, name: str) -> list[str]:
    """Return the lines of a file, packed or not."""
    packed = folder / f"{name}.gz"
    content = (
        gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    )
    return content.decode().rstrip("\n").split("\n")


class Plain(nn.Module):
    """nn.Transformer with shared embeddings."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, WIDTH, padding_idx=0)
        nn.init.normal_(self.table.weight, std=WIDTH**-0.5)
        place = torch.arange(512)[:, None] * torch.exp(
            torch.arange(0, WIDTH, 2) * (-math.log(10_000) / WIDTH)
        )
        self.register_buffer("places", torch.stack((place.sin(), place.cos()), 2).flatten(1))
        self.body = nn.Transformer(
            WIDTH, HEADS, BLOCKS, BLOCKS, INNER, DROPOUT, batch_first=True, norm_first=True
        )
        self.dropout = nn.Dropout(DROPOUT)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return embeddings with their places."""
        found = self.table(ids) * math.sqrt(WIDTH) + self.places[: ids.shape[1]]
        return self.dropout(found)

    def forward(self, ids: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Return logits of what follows each token of ``before``."""
        causal = nn.Transformer.generate_square_subsequent_mask(before.shape[1])
        states = self.body(
            self.embed(ids),
            self.embed(before),
            tgt_mask=causal,
            src_key_padding_mask=torch.zeros(ids.shape).masked_fill(ids == 0, float("-inf")),
            memory_key_padding_mask=torch.zeros(ids.shape).masked_fill(ids == 0, float("-inf")),
            tgt_is_causal=True,
        )
        return functional.linear(states, self.table.weight)


def padded(rows: list[np.ndarray]) -> torch.Tensor:
    """Return rows filled up with zeros."""
    longest = max(map(len, rows))
    return torch.from_numpy(np.stack([np.pad(r, (0, longest - len(r))) for r in rows])).long()


def plain(folder: Path, seconds: float, seed: int) -> list[str]:
    """Return what the plain program answers for test after so many seconds."""
    began = time.monotonic()
    torch.manual_seed(seed)
    sides = [lines(folder, f"train.{side}") for side in ("en", "de")]
    tokenizer = train_pair_tokenizer([*sides[0], *sides[1]], "plain", vocab_size=VOCABULARY)
    read, told = (tokenizer.encode(texts)[0] for texts in sides)
    model = Plain(tokenizer.vocab_size)
    optimizer = torch.optim.Adam(model.parameters(), RATE, betas=(0.9, 0.98), fused=True)
    draw, step = np.random.default_rng(seed), 0
    until = began + seconds * (1 - ANSWER_SHARE)
    while time.monotonic() < until:
        order = np.array([len(row) for row in told]) + draw.random(len(told))
        batches = np.array_split(np.argsort(order), len(told) // BATCH)
        for number in draw.permutation(len(batches)):
            if time.monotonic() > until:
                break
            some = batches[number]
            ids, wanted = padded([read[i] for i in some]), padded([told[i] for i in some])
            before = torch.cat([torch.ones(len(some), 1, dtype=torch.int64), wanted[:, :-1]], 1)
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(step / WARMUP, math.sqrt(WARMUP / step))
            loss = functional.cross_entropy(
                model(ids, before).flatten(0, 1),
                wanted.flatten(),
                ignore_index=0,
                label_smoothing=SMOOTHING,
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step % 200 == 0:
                print(f"plain: step {step}, loss {float(loss):.3f}", file=sys.stderr, flush=True)
    return answers(model.eval(), tokenizer, lines(folder, "test_2016_flickr.en"))


@torch.no_grad()
def answers(model: Plain, tokenizer: object, texts: list[str]) -> list[str]:
    """Return greedy answers."""
    read = tokenizer.encode(texts)[0]  # type: ignore[attr-defined]
    found = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(read[i]))
    for start in range(0, len(order), 100):
        some = order[start : start + 100]
        ids = padded([read[i] for i in some])
        before = torch.ones(len(some), 1, dtype=torch.int64)
        for _ in range(MOST_TOKENS):
            following = model(ids, before)[:, -1].argmax(-1, keepdim=True)
            before = torch.cat([before, following], 1)
            if ((before[:, 1:] == 1).any(1)).all():
                break
        for place, row in zip(some, before[:, 1:].tolist(), strict=True):
            kept = row[: row.index(1)] if 1 in row else row
            found[place] = tokenizer.decode([i for i in kept if i > 1]).strip()  # type: ignore[attr-defined]
    return found


def own(folder: Path, seconds: float, seed: int, out: Path) -> list[str]:
    """Return what headstart answers for test after so many seconds."""
    run = hs.finetune(
        str(folder),
        start="scratch/seq2seq-tiny",
        budget=f"{int(seconds)}s",
        seed=seed,
        out=str(out),
        device="cpu",
    )
    return [one.text or "" for one in run.predict(lines(folder, "test_2016_flickr.en"))]


def attention(folder: Path) -> None:
    """Print what a step of the small start takes by plain and by fused attention."""
    from headstart.starts.texts.sequences import build_sequences, tiny_sequences

    sides = [lines(folder, f"train.{side}")[:4000] for side in ("en", "de")]
    tokenizer = train_pair_tokenizer([*sides[0], *sides[1]], "steps", vocab_size=VOCABULARY)
    read, told = (padded(tokenizer.encode(texts[:64])[0]) for texts in sides)
    network = build_sequences(tiny_sequences(tokenizer, "steps"))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            logits = network.model(
                input_ids=read, attention_mask=(read != 0).long(), decoder_input_ids=told
            ).logits
        loss = functional.cross_entropy(logits.float().flatten(0, 1), told.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    for name in ("eager", "sdpa", "eager", "sdpa"):
        network.model.set_attn_implementation(name)
        step()
        spent = []
        for _ in range(5):
            began = time.process_time()
            step()
            spent.append(time.process_time() - began)
        print(
            f"{name}: {np.median(spent):.3f} processor seconds a step of 64 pairs, bf16", flush=True
        )


def on_core(core: int, side: Callable[..., list[str]], *asked: object) -> list[str]:
    """Return what a side answers when it has one core to itself."""
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    return side(*asked)


def both(asked: argparse.Namespace, run: Path) -> dict[str, list[str]]:
    """Return the answers of both: one after the other, or at once with a core each."""
    own_asked = (asked.folder, asked.seconds, asked.seed, run)
    if not asked.together:
        return {"headstart": own(*own_asked), "plain nn.Transformer": plain(*own_asked[:3])}
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        waited = {
            "headstart": pool.submit(on_core, 0, own, *own_asked),
            "plain nn.Transformer": pool.submit(on_core, 1, plain, *own_asked[:3]),
        }
        return {name: side.result() for name, side in waited.items()}


def main() -> None:
    """Train both, one after the other or at once, and write their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of multi30k-en-de, line-aligned files")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--together", action="store_true", help="at once, a core each")
    parser.add_argument("--attention", action="store_true", help="time steps, and no more")
    parser.add_argument("--run", type=Path, help="where headstart's run goes; kept")
    parser.add_argument("--out", type=Path, default=Path("translation.json"))
    asked = parser.parse_args()
    if asked.attention:
        attention(asked.folder)
        return
    wanted = lines(asked.folder, "test_2016_flickr.de")
    run = asked.run or Path(tempfile.mkdtemp()) / "run"
    said = both(asked, run)
    counts = {name: count_texts(texts, wanted) for name, texts in said.items()}
    names = list(counts)
    verdict = compare_texts(names[1], counts[names[1]], names[0], counts[names[0]])
    record = {
        "figures": {
            name: {n: figure_to_json(f) for n, f in score_texts(one).figures.items()}
            for name, one in counts.items()
        },
        "signature": counts[names[0]].signature,
        "difference in BLEU": figure_to_json(verdict.difference),
        "p_value": verdict.p_value,
        "seconds": asked.seconds,
        "seed": asked.seed,
        "threads": 1 if asked.together else torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "answers": {name: texts[:10] for name, texts in said.items()},
    }
    asked.out.write_text(json.dumps(record, indent=1, ensure_ascii=False))
    print(
        json.dumps({k: record[k] for k in ("figures", "difference in BLEU", "p_value")}, indent=1)
    )


if __name__ == "__main__":
    main()
