"""A column called text decides that short, repeated texts are texts."""

from __future__ import annotations

import pandas as pd
import pytest

from headstart.data import load

ASKED = [f"{a} {b}" for a in ("cancel", "track", "refund") for b in ("order", "card", "plan")] * 12


@pytest.mark.parametrize("name", ["text", "Text", "utterance", "message", "sentence"])
@pytest.mark.parametrize("other", [None, "id", "lang"])
def test_short_texts_in_a_column_called_so_are_texts(name, other):
    frame = pd.DataFrame({name: ASKED, "label": [t.split()[0] for t in ASKED]})
    if other:
        frame[other] = range(len(frame)) if other == "id" else ["en", "de"] * (len(frame) // 2)
    data = load(frame)
    assert data.schema.modality == "text"
    assert any(f"Texts come from column '{name}'" in note for note in data.notes)


@pytest.mark.parametrize("values", [["a", "b", "c"], ["2024-01-01 10:00", "2024-02-03 11:00"], [1]])
def test_single_words_dates_and_numbers_of_that_name_stay_a_table(values):
    number = 60 // len(values)
    frame = pd.DataFrame({"text": values * number, "x": range(len(values) * number)})
    frame["label"] = ["a", "b"] * (len(frame) // 2)
    assert load(frame).schema.modality == "table"
