"""Tokens a second on ragged chats: headstart's rows that chats share, and Hugging Face's Trainer.

    python benchmarks/peer_chats.py --out /tmp/peer-chats --blocks 6 --steps 8

Both sides fine-tune the first blocks of SmolLM2-135M (``pip/smollm2-135m-instruct``) on the same
chats of the project's own pages (``own_docs.py``): one to eight questions and answers of a page in
a chat, so that most are short and a few are long. Both have the same token ids and the same loss,
of the answers alone, the same batch size, AdamW, fp32 and threads, each in a process of its own,
one after the other. Trainer pads a batch to its longest chat, as its collators do; headstart lets
chats share rows. Counted are the tokens of the chats themselves, padding not, from the second step
on. Beside the wall clock stands the processor time of the process, which other work on the machine
does not lengthen, and the highest memory of the process.

Left out: TRL, whose packing is another program's; GPUs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from own_docs import DOCS, chats

BATCH, SEED = 8, 0


def ragged(num: int) -> list[dict[str, object]]:
    """Return chats of one to eight questions of a page, the first ``num`` of a seeded draw."""
    rng = np.random.default_rng(SEED)
    by_page: dict[str, list[Any]] = {}
    for row in chats(DOCS):
        by_page.setdefault(str(row["page"]), []).append(row["messages"])
    pages = [page for page in by_page.values() if len(page) > 7]
    found = []
    for _ in range(num):
        page = pages[int(rng.integers(len(pages)))]
        size = min(8, int(rng.geometric(0.45)))
        picked = rng.choice(len(page), size, replace=False)
        found.append({"messages": [turn for k in picked.tolist() for turn in page[k]]})
    return found


def cut_start(folder: Path, num_blocks: int, width: int | None) -> None:
    """Write the first blocks of SmolLM2 as a folder of transformers, or narrower random ones."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from headstart.starts.texts.gguf_starts import SMOLLM2
    from headstart.starts.texts.gguf_weights import gguf_folder

    source = gguf_folder(SMOLLM2)
    if width is None:
        model = AutoModelForCausalLM.from_pretrained(source)
        model.model.layers = model.model.layers[:num_blocks]
        model.config.num_hidden_layers = num_blocks
        model.config.layer_types = None
    else:
        config = AutoConfig.from_pretrained(source)
        config.hidden_size, config.intermediate_size = width, 4 * width
        config.num_hidden_layers, config.layer_types = num_blocks, None
        config.num_attention_heads = config.num_key_value_heads = max(1, width // 64)
        config.head_dim = 64
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)


class Clock:
    """Seconds and tokens from the second step on."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.at: list[tuple[float, float]] = []

    def step(self) -> None:
        """Note that a step has ended."""
        self.at.append((time.perf_counter(), time.process_time()))

    def result(self) -> dict[str, float]:
        """Return what was counted."""
        wall, cpu = (self.at[-1][i] - self.at[0][i] for i in (0, 1))
        tokens = sum(self.tokens[1 : len(self.at)])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {
            "tokens": tokens,
            "tokens_per_second": tokens / wall,
            "tokens_per_cpu_second": tokens / cpu,
            "peak_mb": memory,
        }


def run_headstart(out: Path, steps: int) -> dict[str, float]:
    """Fine-tune with headstart."""
    import headstart as hs
    from headstart.events import listen
    from headstart.preprocessing import DialogueTokens

    clock, seen = Clock(), [0]
    made = DialogueTokens.arrays

    def counted(self: DialogueTokens, places: np.ndarray) -> tuple[np.ndarray, ...]:
        if len(places) == BATCH:
            seen[0] = int(self.lengths[places].sum())
        return made(self, places)

    DialogueTokens.arrays = counted  # type: ignore[method-assign]

    def hear(kind: str, fields: dict[str, object]) -> None:
        if kind == "task" and "loss" in fields and int(str(fields["done"])) > len(clock.at):
            clock.tokens.append(seen[0])
            clock.step()

    with listen(hear):
        hs.finetune(
            hs.load(str(out / "chats.jsonl")),
            start=str(out / "start"),
            strategy="full",
            precision="fp32",
            batch_size=BATCH,
            micro_batch_size=BATCH,
            num_steps=steps,
            max_length=1024,
            device="cpu",
            out=str(out / "run"),
            overwrite=True,
        )
    return clock.result()


def run_trainer(out: Path, steps: int) -> dict[str, float]:
    """Fine-tune with Hugging Face's Trainer, on headstart's own token ids."""
    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    import headstart as hs
    from headstart.preprocessing import DialoguePreprocess
    from headstart.preprocessing.vocabulary import load_tokenizer

    tokenizer = load_tokenizer(out / "start", "start", pads_with_end=True).with_max_length(1024)
    data = hs.load(str(out / "chats.jsonl"))
    inputs: Any = DialoguePreprocess(tokenizer, data.input_column).prepare(data, "train")
    rows = []
    for place in range(len(inputs)):
        some = slice(int(inputs.offsets[place]), int(inputs.offsets[place + 1]))
        ids = inputs.flat[some].astype(np.int64)
        rows.append({"input_ids": ids, "labels": np.where(inputs.is_told[some], ids, -100)})
    clock = Clock()

    def collate(some: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        longest = max(len(one["input_ids"]) for one in some)
        clock.tokens.append(sum(len(one["input_ids"]) for one in some))

        def filled(name: str, fill: int) -> torch.Tensor:
            rows = [np.pad(r, (0, longest - len(r)), constant_values=fill) for r in name_of(name)]
            return torch.from_numpy(np.stack(rows))

        def name_of(name: str) -> list[np.ndarray]:
            return [one[name] for one in some]

        lengths = torch.tensor([len(one["input_ids"]) for one in some])
        mask = (torch.arange(longest)[None] < lengths[:, None]).long()
        ids = filled("input_ids", tokenizer.pad_id)
        return {"input_ids": ids, "labels": filled("labels", -100), "attention_mask": mask}

    class Timed(TrainerCallback):
        def on_step_end(self, *given: object, **more: object) -> None:
            clock.step()

    arguments = TrainingArguments(
        output_dir=str(out / "trainer"),
        per_device_train_batch_size=BATCH,
        max_steps=steps,
        learning_rate=1e-4,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        remove_unused_columns=False,
        dataloader_num_workers=0,
        seed=SEED,
    )
    model = AutoModelForCausalLM.from_pretrained(out / "start", dtype=torch.float32)
    Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,  # type: ignore[arg-type]
        data_collator=collate,  # type: ignore[arg-type]
        callbacks=[Timed()],
    ).train()
    return clock.result()


def main() -> None:
    """Run both sides and write what was counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--width", type=int, help="random blocks of this width, not SmolLM2's own")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--chats", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--side", choices=("headstart", "trainer"))
    given = parser.parse_args()
    if given.side:
        run = run_headstart if given.side == "headstart" else run_trainer
        print(json.dumps(run(given.out, given.steps)))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in ragged(given.chats))
    (given.out / "chats.jsonl").write_text(text)
    if not (given.out / "start" / "config.json").exists():
        cut_start(given.out / "start", given.blocks, given.width)
    found: dict[str, list[dict[str, float]]] = {"headstart": [], "trainer": []}
    for number in range(given.rounds):
        for side in sorted(found, reverse=bool(number % 2)):
            words = [sys.executable, __file__, "--out", str(given.out), "--side", side]
            words += ["--steps", str(given.steps)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
            print(side, found[side][-1], flush=True)
    for name in ("tokens_per_second", "tokens_per_cpu_second", "peak_mb"):
        one, other = (np.median([r[name] for r in found[s]]) for s in ("headstart", "trainer"))
        print(f"{name}: headstart {one:.1f}, Trainer {other:.1f}, ratio {one / other:.2f}")
    (given.out / "result.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
