"""How far one sample walks: calls and files of this project from what a user gives to logits.

    python benchmarks/walks.py --before ../before --after . --show image

The file of an image, a text as tokens and a row of a table, each given to the model of a finished
run, twice; counted is the second time, so that imports and what is kept once do not count. A call
is a Python function of this project that begins (a loop inside an expression is none); the walk
ends when the network's outermost ``forward`` returns its logits. ``--show`` prints one
walk, call by call.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from timing import run_child

CHILD = """
import json, os, sys, tempfile
import numpy as np
os.environ["HEADSTART_CACHE"] = tempfile.mkdtemp()
import headstart as hs
from PIL import Image
from headstart.model import Model
folder, draw = tempfile.mkdtemp(), np.random.default_rng(0)
picture = f"{folder}/picture.png"
images = draw.integers(0, 256, (60, 16, 16, 3), np.uint8)
Image.fromarray(images[0]).save(picture)
words = ["good", "bad", "warm", "dull", "film", "plot", "actor", "music"]
texts = [" ".join(draw.choice(words, 6)) + f" {i}" for i in range(60)]
labels = ["a" if i % 2 else "b" for i in range(60)]
import pandas as pd
rows = pd.DataFrame({"x": draw.normal(size=60), "y": draw.choice(words, 60), "label": labels})
sources = {
    "image": ((images, labels), "scratch/simple-cnn", [picture]),
    "text": ((texts, labels), "scratch/bert-tiny", texts[:1]),
    "table": (rows, "scratch/mlp", rows.drop(columns="label")[:1]),
}
home = os.path.dirname(hs.__file__) + os.sep
found = {}
for name, (source, start, sample) in sources.items():
    data = hs.load(source)
    run = hs.finetune(data, start=start, num_steps=2, device="cpu", out=f"{folder}/{name}")
    run.predict(sample)
    walk, is_over = [], False
    def look(frame, event, argument):
        global is_over
        code = frame.f_code
        if is_over or not code.co_filename.startswith(home) or code.co_name.startswith("<"):
            return
        place = code.co_filename[len(home):]
        if event == "call":
            # a generator that goes on is no new call
            if frame.f_lasti <= 0 or not code.co_flags & 0x20:
                walk.append(f"{place} {code.co_qualname}")
        elif event == "return" and code is Model.forward.__code__:
            is_over = True
    sys.setprofile(look)
    run.predict(sample)
    sys.setprofile(None)
    found[name] = walk
print(json.dumps(found))
"""


def main() -> None:
    """Count, and print a line a kind of sample and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="checkout of another build")
    parser.add_argument("--after", type=Path, default=Path(), help="checkout of this build")
    parser.add_argument("--show", choices=("image", "text", "table"), help="print one walk")
    said = parser.parse_args()
    builds = {"before": said.before} if said.before else {}
    print("sample  build    calls  functions  files")
    for build, checkout in {**builds, "after": said.after}.items():
        for name, walk in run_child(CHILD, [], checkout).items():
            calls: list[str] = json.loads(json.dumps(walk))
            files = {call.split()[0] for call in calls}
            print(f"{name:<7} {build:<7} {len(calls):6} {len({*calls}):10} {len(files):6}")
            if name == said.show:
                print("\n".join(f"    {call}" for call in calls))


if __name__ == "__main__":
    main()
