"""Whole networks in eight bits: kept where they are quicker and as good, else told by figures."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from small_runs import image_run

import headstart as hs
from headstart.errors import ExportError

FIGURES = re.compile(
    r": ([\d.]+) % right, ([\d.]+) in float32; of its time ([\d.]+) at a batch of 1, ([\d.]+) at"
)


def kept_or_told(run: hs.Run, way: str) -> float:
    """Return what whole numbers lose, in points, kept or refused with the figures that say why."""
    said, folder = "", run.path
    try:
        folder = hs.export(str(run.path), to="onnx", int8=True)
    except ExportError as error:
        said = str(error)
    if said:
        told = FIGURES.search(said)
        assert told is not None, said
        right, plain, *times = map(float, told.groups())
        assert plain - right > 0.4 or max(times) >= 0.95  # as shown: rounded
        assert not list(run.path.parent.glob("*-onnx"))
        return plain - right
    record = json.loads((folder / "bundle.json").read_text())
    told_of, (member,) = record["int8"], record["members"]
    assert told_of["way"] == way
    assert told_of["right_float32"] - told_of["right"] <= 0.005
    assert max(told_of["times"]) <= 0.95
    agreement = hs.verify(str(folder))
    assert agreement.report()
    if (folder / "drift_reference.npz").is_file():  # what the head reads is found, too
        assert member["features"]
    return 100 * (told_of["right_float32"] - told_of["right"])


@pytest.mark.slow
def test_a_convolutional_network_in_whole_numbers_serves_or_says_its_figures(tmp_path):
    kept_or_told(image_run(tmp_path), "calibrated convolutions")


def real(*parts: str) -> Path:
    path = Path(os.environ.get("HEADSTART_DATA", "data"), *parts)
    if not path.is_file():
        pytest.skip(f"HEADSTART_DATA does not hold {'/'.join(parts)}")
    return path


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sentence_encoder_in_whole_numbers_serves_or_says_its_figures(tmp_path):
    import pandas as pd

    table = pd.read_csv(
        real("text", "sst2", "train.tsv"), sep="\t", names=["text", "label"], quoting=3
    )
    table.sample(1600, random_state=0).to_csv(tmp_path / "texts.csv", index=False)
    run = hs.finetune(
        hs.load(str(tmp_path / "texts.csv"), label="label"),
        start="pip/all-minilm-l6-v2",
        strategy="head",
        out=str(tmp_path / "run"),
        device="cpu",
    )
    assert kept_or_told(run, "products by rows") < 2.0  # a scale for a whole batch loses 2.4


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_pretrained_image_network_in_whole_numbers_keeps_its_features(tmp_path):
    import pandas as pd

    table = pd.read_parquet(real("flowers5", "train.parquet"))
    table.sample(900, random_state=0).to_parquet(tmp_path / "flowers.parquet")
    run = hs.finetune(
        hs.load(str(tmp_path / "flowers.parquet"), label="label"),
        start="pip/efficientnet-lite0",
        strategy="head",
        out=str(tmp_path / "run"),
        device="cpu",
    )
    assert kept_or_told(run, "calibrated convolutions") < 2.0  # with default scales it loses 11
