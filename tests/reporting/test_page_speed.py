"""A page of ten thousand test items is made in far less than its five seconds."""

import json
import time

import numpy as np

from headstart.reporting import render_folder
from headstart.storage.records import FORMAT

NUM_ITEMS, NUM_CLASSES, MOST_SECONDS = 10_000, 100, 5.0


def test_a_page_of_ten_thousand_items_is_made_at_once(make_run, tmp_path):
    draw = np.random.default_rng(0)
    run = make_run()
    names = [f"class {k}" for k in range(NUM_CLASSES)]
    figure = {"value": 0.9, "low": 0.8, "high": 0.95}
    counts = draw.integers(1, 200, NUM_CLASSES).tolist()
    test = run["metrics"]["test"]
    test["num_items"] = NUM_ITEMS
    test["per_class"] = {
        name: {"precision": figure, "recall": figure, "f1": figure, "support": counts[k]}
        for k, name in enumerate(names)
    }
    test["confusion_matrix"] = draw.integers(0, 3, (NUM_CLASSES, NUM_CLASSES)).tolist()
    line = draw.random((201, 3)).tolist()
    kinds = ("roc", "precision_recall", "lift")
    run["metrics"]["curves"] = {kind: dict.fromkeys(names[:20], line) for kind in kinds}
    run["metrics"]["curves"]["num_positive"] = dict(zip(names[:20], counts, strict=False))
    run["model"] |= {"format": FORMAT, "schema": {"modality": "image", "classes": names}}
    run["data"]["class_counts"] = dict.fromkeys(("train", "val", "test"), counts)
    run["data"]["split_ids"] = {"test": list(range(NUM_ITEMS))}
    picture = "iVBORw0KGgo" * 20_000
    item = {"id": 1, "name": "a.png", "target": "class 1", "prediction": "class 2"}
    item |= {"probability": 0.9, "image_png_base64": picture}
    mistakes = {"items": [item] * 12, "doubtful": [item] * 12}
    mistakes["names"] = {str(k): f"photos/{k}.jpg" for k in range(1_000)}
    steps = [
        {"kind": "task", "name": "fine-tune", "done": k, "loss": 1 / k, "learning_rate": 0.1}
        for k in range(1, NUM_ITEMS)
    ]
    for name, record in (*run.items(), ("mistakes", mistakes)):
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, steps)))
    render_folder(tmp_path)  # templates are read once
    began = time.process_time()
    page = render_folder(tmp_path)
    assert time.process_time() - began < MOST_SECONDS
    assert "10,000 items" in page
    assert "75 more classes" in page
