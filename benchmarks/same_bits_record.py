"""What ``same_bits`` writes down of a run: everything that must not change, and what may be told.

Only the run folder's documented files and the public face are read, because every module inside
may move between two builds. Floats are written as Python writes them, which is exact.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import load_file
from same_bits_data import Source

import headstart as hs

# a build that chooses what computes its passes is told to stay with PyTorch in float32
EXACT = (
    {"engine": "torch", "precision": "fp32"}
    if "engine" in inspect.signature(hs.finetune).parameters
    else {}
)

Record = dict[str, Any]
TIME = re.compile(r"\d[\d.,]* ?(?:ms|s|min|h)\b")


@contextmanager
def watched_losses(befall: Callable[[int], None] = lambda number: None) -> Iterator[list[float]]:
    """Collect the loss of every backward pass inside the block, wherever in the house it is.

    Args:
        befall: Called before each with its number, counted from 1.
    """
    losses: list[float] = []
    backward = torch.autograd.backward

    def watched(tensors: Any, *args: Any, **kwargs: Any) -> None:
        several = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
        losses.extend(float(tensor.detach()) for tensor in several)
        befall(len(losses))
        backward(tensors, *args, **kwargs)

    with patch.object(torch.autograd, "backward", watched):
        yield losses


def weights(folder: Path) -> dict[str, str]:
    """Return a digest of every tensor in a folder's safetensors files, by name."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            digest = sha256(content).hexdigest()[:16]
            found[name] = f"{tensor.dtype} {list(tensor.shape)} {digest}"
    return found


def without_seconds(value: Any) -> Any:
    """Return a record without what the clock has put into it."""
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if "second" not in k}
    if isinstance(value, list):
        return [without_seconds(item) for item in value]
    return value


def folder_record(run: Path) -> Record:
    """Return what the files of a run folder say.

    Args:
        run: The folder of a finished run.
    """
    import pyarrow.parquet as pq

    read = {name: json.loads((run / f"{name}.json").read_text()) for name in _JSON_FILES}
    ids = read["data"].pop("split_ids", None)
    read["data"]["split_ids"] = sha256(json.dumps(ids).encode()).hexdigest()[:16]
    for changing in ("machine", "launch"):
        read["options"].pop(changing, None)
    found = {
        "weights": weights(run),
        "metrics": without_seconds(read["metrics"]),
        "predictions": pq.read_table(run / "predictions.parquet").to_pydict(),
        "told": {name: without_seconds(read[name]) for name in ("options", "data", "model")},
    }
    if (read["options"].get("training") or {}).get("best_step") == 0:
        found["note"] = (
            "the weights of step 0 were the best: the last ones show in the losses alone"
        )
    return found


_JSON_FILES = ("metrics", "options", "data", "model")


def answers(run: Path, source: Source) -> Record:
    """Return what a finished run says when it is opened again.

    Args:
        run: Its folder.
        source: Its data, and new samples.
    """
    found: Record = {}
    given = source.given if isinstance(source.given, str) else None
    data = None if given else hs.load(source.given, **source.load)
    found["evaluate"] = without_seconds(hs.evaluate(str(run), data, **EXACT).metrics)
    if len(source.samples):
        found["predict"] = predicted(hs.open(str(run)).predict(source.samples))
    if source.files:
        found["predict_files"] = predicted(hs.predict(str(run), source.files, **EXACT)[:12])
    found["told"] = {"report": lines(hs.open(str(run)).report())}
    return found


def predicted(predictions: Sequence[Any]) -> list[Record]:
    return [asdict(prediction) for prediction in predictions]


def merged(*records: Record) -> Record:
    """Return records put together; what is told by several is kept from all of them."""
    whole: Record = {}
    for record in records:
        for key, value in record.items():
            is_shared = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = whole[key] | value if is_shared else value
    return whole


def command(*words: str) -> tuple[int, str, str]:
    """Run ``python -m headstart`` with these words in this process.

    Returns:
        Its exit code, what it printed, and what it said to stderr.
    """
    out, said = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        patch.object(sys, "argv", ["headstart", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(said),
    ):
        try:
            runpy.run_module("headstart", run_name="__main__", alter_sys=True)
        except SystemExit as error:
            code = error.code or 0
    return (code if isinstance(code, int) else 1), out.getvalue(), said.getvalue()


def lines(text: str) -> dict[str, str]:
    """Return the lines of a text without times, as a record whose differences are lines."""
    return {line.strip(): "said" for line in TIME.sub("… s", text).splitlines()}
