"""Texts: tell what a sentence is about, learned from what SciPy and PyTorch say of themselves."""

import inspect

import pandas as pd
import scipy.linalg
import scipy.signal
import scipy.stats
import torch

import headstart as hs

TOPICS = {
    "linear algebra": scipy.linalg,
    "signals": scipy.signal,
    "statistics": scipy.stats,
    "neural networks": torch.nn,
}

# Every function and class begins its documentation with a paragraph on what it does.
rows = set()
for topic, module in TOPICS.items():
    for name in dir(module):
        for paragraph in (inspect.getdoc(getattr(module, name)) or "").split("\n\n"):
            if paragraph.endswith(".") and 40 < len(paragraph) < 200:
                rows.add((" ".join(paragraph.split()), topic))
table = pd.DataFrame(sorted(rows), columns=["text", "topic"])

run = hs.finetune(hs.load(table, label="topic"), start="scratch/tfidf")

accuracy = run.metrics["test"]["figures"]["accuracy"]
print(f"\nOf 100 new sentences it files {100 * accuracy['value']:.0f} correctly.")
questions = ["Compute the median of a sample.", "Applies dropout to the hidden layer."]
for question, prediction in zip(questions, run.predict(questions), strict=True):
    print(f"  {question!r} is about {prediction.label} ({prediction.probability:.0%} sure)")
