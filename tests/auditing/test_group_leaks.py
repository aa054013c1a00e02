import numpy as np
import pandas as pd
import pytest

from headstart.auditing.audit import AuditTools
from headstart.auditing.group_leaks import GROUP_LEAKS
from headstart.data import load

RNG = np.random.default_rng(0)


def _measurements(num_groups: int = 60, each: int = 10, *, knows: bool = True) -> pd.DataFrame:
    """Return rows of patients whose diagnosis is the patient's, and whose habits tell who it is."""
    owner = np.repeat(np.arange(num_groups), each)
    sick = RNG.integers(0, 2, num_groups)
    habits = RNG.normal(size=(num_groups, 3))
    rows = habits[owner] + RNG.normal(0, 0.05, (len(owner), 3))
    target = sick[owner] if knows else RNG.integers(0, 2, len(owner))
    frame = pd.DataFrame(rows, columns=["pulse", "weight", "gait"])
    frame["sick"] = np.where(target == 1, "yes", "no")
    frame["owner"] = owner
    return frame.sample(frac=1, random_state=0).reset_index(drop=True)


@pytest.mark.parametrize(
    ("column", "write"),
    [
        ("patient", lambda i: f"P{i:03d}"),
        ("subject_id", lambda i: int(i) * 17),
        ("userId", lambda i: int(i) + 1000),
        ("where", lambda i: f"place {i} of many"),  # no name that tells: many values do
    ],
)
def test_patients_on_both_sides_are_told_with_what_they_are_worth(column, write) -> None:
    frame = _measurements()
    frame[column] = [write(i) for i in frame.pop("owner")]
    dataset = load(frame, label="sick")
    found = GROUP_LEAKS.run(dataset, AuditTools())
    assert [a.finding.kind for a in found] == ["group"]
    sentence = found[0].finding.sentence
    assert f"--group {column}" in sentence
    assert "of 60 values" in sentence
    assert all(len({s.split for s in group}) > 1 for group in found[0].together)
    assert len(found[0].together) > 40


def test_the_advice_helps() -> None:
    frame = _measurements()
    frame["patient"] = [f"P{i}" for i in frame.pop("owner")]
    dataset = load(frame, label="sick", group="patient")
    assert GROUP_LEAKS.run(dataset, AuditTools()) == []


def test_numbers_are_told_too() -> None:
    frame = _measurements()
    level = RNG.normal(size=60)
    frame["dose"] = level[frame["owner"]] + RNG.normal(0, 0.1, len(frame))
    frame["patient"] = [f"P{i}" for i in frame.pop("owner")]
    dataset = load(frame.drop(columns="sick"), label="dose")
    assert "share of the spread" in GROUP_LEAKS.run(dataset, AuditTools())[0].finding.sentence


def test_groups_that_tell_nothing_and_properties_are_left_in_peace() -> None:
    frame = _measurements(knows=False)
    frame["patient"] = [f"P{i}" for i in frame.pop("owner")]
    assert GROUP_LEAKS.run(load(frame, label="sick"), AuditTools()) == []
    frame = _measurements()
    frame["town"] = [f"town {i % 7}" for i in frame.pop("owner")]
    assert GROUP_LEAKS.run(load(frame, label="sick"), AuditTools()) == []


def test_without_time_it_is_said_that_nothing_was_measured() -> None:
    frame = _measurements()
    frame["patient"] = [f"P{i}" for i in frame.pop("owner")]
    found = GROUP_LEAKS.run(load(frame, label="sick"), AuditTools(is_over=lambda: True))
    assert "was not measured" in found[0].finding.sentence
