"""Rows and columns as Python programs hold them."""

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from headstart.data import load
from headstart.errors import DataError

WORDS = ["the", "film", "was", "a", "quiet", "joy", "from", "its", "first", "scene", "on"]
TEXTS = [" ".join(np.random.default_rng(i).permutation(WORDS)) + f" {i}" for i in range(40)]
LABELS = ["good" if i % 2 else "bad" for i in range(40)]
FORMS = {
    "columns in a dict": {"text": TEXTS, "label": LABELS},
    "arrays in a dict": {"text": np.array(TEXTS), "label": np.array(LABELS)},
    "Series in a dict": {"text": pd.Series(TEXTS), "label": pd.Series(LABELS)},
    "records": [{"text": t, "label": label} for t, label in zip(TEXTS, LABELS, strict=True)],
    "pairs": list(zip(TEXTS, LABELS, strict=True)),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_and_columns_of_a_program_are_read(form: str) -> None:
    data = load(FORMS[form])
    assert data.schema.modality == "text"
    assert data.schema.classes == ("bad", "good")
    assert sum(map(len, (data.train, data.val, data.test))) == 40


@pytest.mark.parametrize("as_frame", [False, True])
def test_a_bunch_of_scikit_learn_is_read_with_its_names(as_frame: bool) -> None:
    data = load(datasets.load_iris(as_frame=as_frame))
    assert data.schema.classes == ("setosa", "versicolor", "virginica")
    assert set(data.column_kinds or ()) == set(datasets.load_iris().feature_names)
    assert load(datasets.load_diabetes(as_frame=as_frame)).schema.task == "regression"


def test_a_column_named_by_a_number_can_be_the_label() -> None:
    frame = pd.DataFrame({0: TEXTS, 1: LABELS})
    assert load(frame, label=1).schema.classes == ("bad", "good")  # type: ignore[arg-type]


def test_targets_as_one_column_are_that_column() -> None:
    images = np.random.default_rng(0).random((40, 8, 8, 3))
    assert load((images, np.arange(40).reshape(-1, 1) % 2)).schema.classes == ("0", "1")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"text": TEXTS, "label": LABELS[:-1]}, "differ in length ('text' 40, 'label' 39)"),
        ([], "An empty list was given"),
        (TEXTS, "A list of str was given, without targets"),
        ((TEXTS[:30], TEXTS[30:], LABELS[:30], LABELS[30:]), "as train_test_split returns them"),
        (([], []), "X is empty"),
    ],
)
def test_what_is_no_data_is_refused_by_what_it_is(given: object, words: str) -> None:
    with pytest.raises(DataError) as refused:
        load(given)
    assert words in str(refused.value)


def test_a_sparse_matrix_is_refused_and_the_advice_works() -> None:
    from scipy.sparse import random

    X, y = random(40, 5, 0.5, "csr", rng=0), np.arange(40) % 2
    with pytest.raises(DataError, match=r"sparse matrix of shape \(40, 5\)"):
        load((X, y))
    assert len(load((X.toarray(), y)).schema.classes) == 2


def test_four_parts_are_read_as_the_advice_says() -> None:
    data = load({"train": (TEXTS[:30], LABELS[:30]), "test": (TEXTS[30:], LABELS[30:])})
    assert len(data.test) == 10
