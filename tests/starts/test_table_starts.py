"""Starts for tables: layout, parity with formulas by hand, and coefficients in raw units."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.preprocessing import TablePreprocess
from headstart.preprocessing.columns import feature_names
from headstart.starts import BuildRequest, build_encoder, list_starts, rebuild_encoder
from headstart.starts.tables.builders import (
    MLP_OPTIONS,
    build_table_mlp,
    coefficients,
)
from headstart.starts.tables.networks import category_sizes, num_numbers, number_names
from headstart.types import Column, TableSpec

LINEAR, BOOSTING, FOREST, LIGHTGBM, MLP = list_starts("table")
AGE = Column(
    "age",
    "numeric",
    fill=30.0,
    mean=(32.0,),
    scale=(8.0,),
    edges=(20.0, 24.0, 32.0, 48.0),
    has_missing=True,
)
CITY = Column("city", "categorical", categories=("", "Rome"), has_missing=True)
MEMBER = Column("member", "boolean")
JOINED = Column("joined", "date", mean=(2000.0, 0.0, 0.0), scale=(10.0, 1.0, 1.0))
COLOUR = Column("colour", "categorical", categories=("red", "green", "blue"))
SPEC = TableSpec((AGE, CITY, MEMBER, JOINED, COLOUR))
NUMBERS = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
CODES = torch.tensor([[1, 3], [2, 1], [0, 2], [1, 0], [0, 0]])


def _request(spec: TableSpec, *, seed: int = 0) -> BuildRequest:
    return BuildRequest(table=TablePreprocess(spec), seed=seed)


def _numeric(name: str, values: np.ndarray, *, has_missing: bool = False) -> Column:
    mean, scale = float(values.mean()), float(values.std())
    return Column(name, "numeric", mean=(mean,), scale=(scale,), has_missing=has_missing)


def test_all_starts_have_random_weights_and_need_no_network() -> None:
    assert [(s.address, s.family) for s in (LINEAR, BOOSTING, FOREST, LIGHTGBM, MLP)] == [
        ("scratch/linear", "linear"),
        ("scratch/boosting", "trees"),
        ("scratch/forest", "trees"),
        ("scratch/lightgbm", "trees"),
        ("scratch/mlp", "mlp"),
    ]
    for start in (LINEAR, BOOSTING, FOREST, LIGHTGBM, MLP):
        assert (start.modality, start.pretrained_on, start.is_local) == ("table", None, True)
        assert start.licence.startswith("none (")


def test_layout_counts_numbers_and_codes() -> None:
    assert [len(number_names(column)) for column in SPEC.columns] == [2, 0, 1, 3, 0]
    assert num_numbers(SPEC) == 6
    assert category_sizes(SPEC) == [3, 4]


def test_names_are_those_of_the_data_room() -> None:
    names = [name for column in SPEC.columns for name in number_names(column)]
    assert [*names, "city", "colour"] == feature_names(SPEC)


def test_linear_hands_numbers_on_beside_one_hot_codes() -> None:
    encoder = build_encoder(LINEAR, _request(SPEC))
    features = encoder(NUMBERS, CODES)
    hot = [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert encoder.num_features == 11
    assert features.dtype == torch.float32
    assert torch.equal(features[:, :6], NUMBERS)
    assert features[:, 6:].tolist() == hot


def test_linear_has_nothing_to_learn() -> None:
    encoder = build_encoder(LINEAR, _request(SPEC))
    assert not encoder.state_dict()
    assert encoder.layers == []
    assert encoder.start.num_parameters == 0


def test_numbers_alone_and_codes_alone_are_tables_too() -> None:
    for start in (LINEAR, MLP):
        numbers_only = build_encoder(start, _request(TableSpec((AGE,)))).eval()
        codes_only = build_encoder(start, _request(TableSpec((CITY, COLOUR)))).eval()
        assert numbers_only(NUMBERS[:, :2], CODES[:, :0]).shape == (5, numbers_only.num_features)
        assert codes_only(NUMBERS[:, :0], CODES).shape == (5, codes_only.num_features)


def _encode_by_hand(value: float, edges: tuple[float, ...]) -> list[float]:
    """Return the piecewise-linear encoding as the paper's equation 1 has it, bin by bin."""
    last = len(edges) - 1
    encoded = []
    for t in range(1, last + 1):
        if t > 1 and value < edges[t - 1]:
            encoded.append(0.0)
        elif t < last and value >= edges[t]:
            encoded.append(1.0)
        else:  # the outer bins go on for one width more
            share = (value - edges[t - 1]) / (edges[t] - edges[t - 1])
            encoded.append(min(2.0, max(-1.0, share)))
    return encoded


def test_mlp_embeds_numbers_as_the_equation_says() -> None:
    few = replace(AGE, name="few", edges=(30.0, 34.0), has_missing=False)
    spec = TableSpec((AGE, MEMBER, few))
    network = build_table_mlp(spec, width=4, num_blocks=1, embedding_size=3, dropout=0.0)
    ages = [-1e6, 18.0, 20.0, 22.0, 24.0, 40.0, 60.0, 1e6]
    rows = [[(age - 32.0) / 8.0, 0.0, 1.0, (age - 32.0) / 8.0] for age in ages]
    found = network.cells(torch.tensor(rows), torch.empty(len(rows), 0, dtype=torch.long))
    numeric = network.cells.numeric
    assert numeric is not None
    bias = numeric.bias.view(2, 3)
    for age, row in zip(ages, found, strict=True):
        parts = []
        for place, edges in enumerate((AGE.edges, few.edges)):
            encoded = torch.tensor(_encode_by_hand(age, edges))
            parts.append(encoded @ numeric.weight[place, : len(encoded)] + bias[place])
        by_hand = torch.cat([torch.relu(torch.cat(parts)), torch.tensor([0.0, 1.0])])
        assert torch.allclose(row, by_hand, atol=1e-5)


def test_mlp_is_random_by_its_seed_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (
        build_encoder(MLP, _request(SPEC, seed=seed)).eval() for seed in (3, 3, 4)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first(NUMBERS, CODES), same(NUMBERS, CODES))
    assert not torch.equal(first(NUMBERS, CODES), other(NUMBERS, CODES))
    assert first(NUMBERS, CODES).shape == (5, MLP_OPTIONS["width"])


def test_mlp_drops_features_in_training_only() -> None:
    encoder = build_encoder(MLP, _request(SPEC))
    assert not torch.equal(encoder(NUMBERS, CODES), encoder(NUMBERS, CODES))
    encoder.eval()
    assert torch.equal(encoder(NUMBERS, CODES), encoder(NUMBERS, CODES))


def test_mlp_gives_an_unknown_category_no_noise() -> None:
    spec = TableSpec((MEMBER, CITY, COLOUR))
    network = build_table_mlp(spec, width=4, num_blocks=1, embedding_size=3, dropout=0.0)
    row = network.cells(torch.tensor([[1.0]]), torch.tensor([[0, 0]]))
    known = network.cells(torch.tensor([[1.0]]), torch.tensor([[2, 3]]))
    assert row.tolist() == [[1.0] + [0.0] * 6]
    assert (known[0, 1:] != 0).all()


def test_mlp_names_every_parameter_once_in_forward_order() -> None:
    encoder = build_encoder(MLP, _request(SPEC))
    names = [name for layer in encoder.layers for name in layer]
    assert sorted(names) == sorted(name for name, _ in encoder.named_parameters())
    firsts = [layer[0].split(".")[1] for layer in encoder.layers]
    assert firsts == ["cells", "block1", "block2", "block3"][: 1 + int(MLP_OPTIONS["num_blocks"])]


@pytest.mark.parametrize("start", [LINEAR, MLP], ids=lambda start: start.address)
def test_architecture_rebuilds_the_same_module(start) -> None:
    encoder = build_encoder(start, _request(SPEC, seed=7)).eval()
    architecture = json.loads(json.dumps(encoder.architecture))
    again = rebuild_encoder(architecture).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    assert (again.preprocess, again.layers) == (TablePreprocess(SPEC), encoder.layers)
    assert torch.equal(again(NUMBERS, CODES), encoder(NUMBERS, CODES))


def _fit(network: nn.Module, inputs: Tensor, targets: Tensor, num_features: int) -> float:
    """Return the mean squared error after 200 steps on everything."""
    torch.manual_seed(0)
    head = nn.Linear(num_features, 1)
    codes = torch.empty(len(inputs), 0, dtype=torch.long)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(200):
        loss = (head(network(inputs, codes)).squeeze(1) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_mlp_learns_what_a_line_cannot() -> None:
    values = np.linspace(-2, 2, 256)
    edges = tuple(np.quantile(values, np.linspace(0, 1, 17)))
    spec = TableSpec((Column("x", "numeric", mean=(0.0,), scale=(1.0,), edges=edges),))
    inputs = torch.from_numpy(values).float().unsqueeze(1)
    targets = torch.sin(inputs[:, 0] * 4)
    line, mlp = (build_encoder(start, _request(spec)) for start in (LINEAR, MLP))
    assert _fit(line, inputs, targets, line.num_features) > 0.3
    assert _fit(mlp.eval(), inputs, targets, mlp.num_features) < 0.01


def test_coefficients_are_those_of_least_squares_on_the_raw_columns() -> None:
    generator = np.random.default_rng(0)
    rooms, area = generator.normal(5, 2, 200), generator.normal(900, 300, 200)
    area_is_missing = (generator.random(200) < 0.2).astype(float)
    city = generator.integers(0, 3, 200)  # 0 is unknown
    price = 1000 + 50 * rooms - 0.3 * area + 70 * area_is_missing + 20 * (city == 1)
    price += generator.normal(0, 5, 200)
    spec = TableSpec((_numeric("rooms", rooms), CITY, _numeric("area", area, has_missing=True)))
    scaled = [
        (x - c.mean[0]) / c.scale[0] for x, c in ((rooms, spec.columns[0]), (area, spec.columns[2]))
    ]
    numbers = np.stack([*scaled, area_is_missing], axis=1).astype(np.float32)
    encoder = build_encoder(LINEAR, _request(spec))
    features = encoder(torch.from_numpy(numbers), torch.from_numpy(city[:, None])).numpy()
    mean, scale = float(price.mean()), float(price.std())
    fitted = LinearRegression().fit(features.astype(np.float64), (price - mean) / scale)
    found, intercept = coefficients(
        fitted.coef_[None], fitted.intercept_, spec, target_mean=mean, target_scale=scale
    )
    raw = np.stack([rooms, area, area_is_missing, city == 1, city == 2], axis=1)
    expected = LinearRegression().fit(raw, price)
    assert list(found) == ["rooms", "area", "area is missing", "city is missing", "city=Rome"]
    assert list(found.values()) == pytest.approx(expected.coef_.tolist(), rel=1e-3, abs=1e-3)
    assert intercept == pytest.approx(expected.intercept_, rel=1e-4)


def test_coefficients_refuse_weights_of_another_model() -> None:
    with pytest.raises(StartError, match=r"shape \(2, 11\); expected \(1, 11\)"):
        coefficients(np.zeros((2, 11)), 0.0, SPEC)


def test_table_without_columns_is_refused() -> None:
    for start in (LINEAR, MLP):
        with pytest.raises(StartError, match="no columns beside its target"):
            build_encoder(start, _request(TableSpec(())))


@pytest.mark.parametrize(
    "column",
    [
        replace(AGE, mean=(1.0, 2.0, 3.0)),
        replace(AGE, scale=(0.0,)),
        replace(JOINED, mean=(1.0,)),
        replace(CITY, mean=(1.0,), scale=(1.0,)),
    ],
    ids=["too many means", "scale 0", "one mean for a date", "category with a mean"],
)
def test_column_that_contradicts_itself_is_named(column: Column) -> None:
    for start in (LINEAR, MLP):
        with pytest.raises(StartError, match=f"Column '{column.name}'"):
            build_encoder(start, _request(TableSpec((MEMBER, column))))


def test_start_of_another_modality_is_refused() -> None:
    image = replace(LINEAR, address="scratch/resnet18", modality="image")
    with pytest.raises(StartError, match="'scratch/resnet18' reads image"):
        build_encoder(image, _request(SPEC))
