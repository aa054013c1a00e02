"""Real sets of texts and tables under HEADSTART_DATA, with and without headers, Chinese too."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data import load
from headstart.preprocessing import fit_table

pytestmark = pytest.mark.slow
WINE = [*(f"measure {i}" for i in range(11)), "quality"]
TEXTS = {
    "text/sst2": ({"header": ["sentence", "label"]}, (6920, 872, 1821)),
    "text/trec-qc": ({"label": "coarse"}, (4634, 818, 500)),
    "text/sms-spam/SMSSpamCollection": ({"header": ["label", "text"]}, (3790, 669, 1115)),
    "text/imdb-10k": ({}, (4250, 750, 5000)),
    "text/chnsenticorp/ChnSentiCorp_htl_all.csv.gz": ({}, (5280, 932, 1553)),
}
TABLES = {
    "california_housing.csv.gz": ({"label": "median_house_value"}, "regression", (9, 1)),
    "ames.csv.gz": ({"label": "Sale_Price"}, "regression", (34, 39)),
    "winequality-red.csv": ({"label": "quality", "header": WINE}, "classification", (11, 0)),
    "titanic_train.csv": ({"label": "Survived"}, "classification", (6, 4)),
}


@pytest.mark.parametrize("name", TEXTS)
def test_load_reads_real_texts(real_data, name):
    options, counts = TEXTS[name]
    if not real_data or not (Path(real_data) / name).exists():
        pytest.skip(f"HEADSTART_DATA holds no {name}")
    data = load(Path(real_data) / name, **options)
    assert data.schema.modality == "text"
    assert tuple(len(data.split(split)) for split in ("train", "val", "test")) == counts
    assert len(data.bad_samples) <= 1


@pytest.mark.parametrize("name", TABLES)
def test_load_reads_real_tables(real_data, name):
    options, task, (num_numbers, num_codes) = TABLES[name]
    path = Path(real_data) / "tabular" / name
    if not real_data or not path.exists():
        pytest.skip(f"HEADSTART_DATA holds no {name}")
    data = load(path, **options)
    assert (data.schema.modality, data.schema.task) == ("table", task)
    cells = fit_table(data).prepare(data, "test")
    assert (cells.numbers.shape[1], cells.codes.shape[1]) == (num_numbers, num_codes)
