"""A run with enough held-out rows to be watched, and rows to ask it about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import headstart as hs


def rows(num: int, seed: int = 0, *, shift: float = 0.0, lost: float = 0.0) -> pd.DataFrame:
    """Return rows of two classes: numbers, categories, a column that no answer depends on."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, num)
    frame = pd.DataFrame(
        {
            "x": label + draw.normal(0, 0.6, num),
            "idle": draw.normal(0, 1, num) + shift,
            "land": np.array(["AT", "CH", "DE"])[draw.integers(0, 3, num)],
            "label": np.array(["ant", "bee"])[label],
        }
    )
    frame.loc[draw.random(num) < lost, "land"] = None
    return frame


def watched_run(folder: Path) -> hs.Run:
    """Return a run of 2,000 rows."""
    rows(2000).to_csv(folder / "rows.csv", index=False)
    data = hs.load(str(folder / "rows.csv"), label="label")
    return hs.finetune(
        data, start="scratch/mlp", out=str(folder / "run"), device="cpu", num_steps=60
    )
