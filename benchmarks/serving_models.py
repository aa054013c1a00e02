"""What a server adds to the work of ONNX Runtime: pictures by JPEG, and texts of mixed lengths.

A ResNet-18 at 224 pixels and all-MiniLM-L6-v2, each served on one core and loaded by wrk; beside
it, in turns, the plainest loop: decode or tokenise, run ``model.onnx``, one sample after the other.
Told is the processor's time a sample of both, and its ratio: 1 means that serving costs nothing,
0.9 is what was asked for. The server computes what waits together and fills texts up to the longest
of their batch, so a ratio above 1 is possible.

    python benchmarks/serving_models.py [--seconds 5] [--turns 3] [--samples 64] [--connections 16]
        [--kinds pictures texts] [--json FILE]

By the clock of a client: ``serving_clock.py``.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
from serving import lua, measure, sides_of
from timing import describe_machine

import headstart as hs

TEXT = "the film was not as good a story about two people who never meet and still it moved me"


def make_pictures(folder: Path, number: int) -> tuple[Path, list[bytes], str]:
    """Return the bundle of a ResNet-18 at 224 pixels, and JPEGs of that size."""
    from PIL import Image

    draw = np.random.default_rng(0)
    place, bodies = folder / "given", []
    for place_of in range(max(24, number)):
        rough = draw.integers(0, 256, (14, 14, 3), dtype=np.uint8)
        picture = Image.fromarray(rough).resize((224, 224), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=90)
        if place_of < 24:
            path = place / str(place_of % 2) / f"{place_of}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stream.getvalue())
        if place_of < number:
            bodies.append(stream.getvalue())
    run = hs.finetune(
        str(place), start="scratch/resnet18", input_size=224, num_steps=1, out=str(folder / "run"),
        device="cpu",
    )  # fmt: skip
    return hs.export(str(run.path), to="onnx", out=str(folder / "photos")), bodies, "image/jpeg"


def make_texts(folder: Path, number: int) -> tuple[Path, list[bytes], str]:
    """Return the bundle of all-MiniLM-L6-v2, and texts of 4 to 120 words."""
    draw = np.random.default_rng(0)
    texts = [
        " ".join(draw.choice(TEXT.split(), int(4 * 30 ** draw.random())))
        for _ in range(max(40, number))
    ]  # fmt: skip
    path = folder / "texts.csv"
    rows = (f"{text},{('ant', 'bee')[i % 2]}" for i, text in enumerate(texts))
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    run = hs.finetune(
        hs.load(str(path), label="label"), start="pip/all-minilm-l6-v2", num_steps=1,
        out=str(folder / "run"), device="cpu",
    )  # fmt: skip
    bundle = hs.export(str(run.path), to="onnx", out=str(folder / "reviews"))
    return bundle, [text.encode() for text in texts[:number]], "text/plain"


KINDS = {"pictures": make_pictures, "texts": make_texts}


def bare(bundle: Path, bodies: list[bytes], kind: str) -> float:
    """Return the processor's ms a sample of reading and ONNX Runtime alone, one by one."""
    from headstart.bundles import open_bundle

    opened = open_bundle(bundle)
    samples = [body.decode() if kind == "text/plain" else body for body in bodies]
    opened.predict(samples[:1])
    began = time.process_time()
    for sample in samples:
        inputs = opened.read([sample])
        opened.run(opened.arrays(inputs, np.arange(1)))
    return 1000 * (time.process_time() - began) / len(samples)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    print(describe_machine(1).sentence())
    rows = []
    for name in args.kinds:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            bundle, bodies, kind = KINDS[name](folder, args.samples)
            script = lua(folder / "bodies.lua", bodies, kind)
            side = sides_of(Namespace(fastapi="", mlserver=""), bundle, folder)["headstart"]
            for _ in range(args.turns):
                alone = bare(bundle, bodies, kind)
                (told,) = measure(
                    "headstart",
                    side,
                    script,
                    "/v1/predict",
                    args,
                    (args.connections,),
                    by_rows=True,
                )
                rows.append({**told, "side": name, "bare ms": alone})
        own = [one for one in rows if one["side"] == name]
        ratios = [one["bare ms"] / one["processor ms"] for one in own]
        served = statistics.median(one["processor ms"] for one in own)
        alone = statistics.median(one["bare ms"] for one in own)
        print(
            f"{name}: {served:.2f} ms of the processor served, {alone:.2f} alone; ratio "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
