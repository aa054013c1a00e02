"""IOB1, IOB2, BIOES and BILOU say the same, and what is wrong is said."""

from __future__ import annotations

import pytest

from headstart.errors import DataError
from headstart.tasks.schemes import has_scheme, read_entities

WANTED = [["O", "B-PER", "I-PER", "B-PER", "O", "B-LOC"]]
FORMS = {
    "IOB1": [["O", "I-PER", "I-PER", "B-PER", "O", "I-LOC"]],
    "IOB2": WANTED,
    "BIOES": [["O", "B-PER", "E-PER", "S-PER", "O", "S-LOC"]],
    "BILOU": [["O", "B-PER", "L-PER", "U-PER", "O", "U-LOC"]],
}


def _place(row: int) -> str:
    return f"row {row + 1}"


@pytest.mark.parametrize("scheme", FORMS)
def test_each_scheme_is_told_and_read_as_iob2(scheme):
    found, findings = read_entities(FORMS[scheme], "Column 'tags'", _place)
    assert found == WANTED
    assert len(findings) == 1
    assert f"writes entities as {scheme}" in findings[0].sentence


def test_entities_that_touch_stay_two():
    rows = [["S-PER", "S-PER", "B-PER", "E-PER"]]
    found, _ = read_entities(rows, "c", _place)
    assert found == [["B-PER", "B-PER", "B-PER", "I-PER"]]


def test_the_type_may_stand_before_the_place():
    found, _ = read_entities([["PER-B", "PER-I", "O"]], "c", _place)
    assert found == [["B-PER", "I-PER", "O"]]


def test_a_tag_that_goes_on_with_nothing_begins_and_is_counted():
    rows = [["B-PER", "I-PER", "O", "I-LOC", "B-PER"]]
    found, findings = read_entities(rows, "c", _place)
    assert found == [["B-PER", "I-PER", "O", "B-LOC", "B-PER"]]
    assert "1 tags that go on with an entity that has not begun" in findings[1].sentence


def test_a_tag_of_no_scheme_is_refused_by_its_place():
    with pytest.raises(DataError, match="the tag 'PERSON' in row 2"):
        read_entities([["B-PER", "O"], ["PERSON", "B-PER"]], "c", _place)


def test_parts_of_speech_have_no_scheme():
    assert not has_scheme(["NOUN", "VERB", "X", "O"])
    assert has_scheme(["O", "B-PER", "I-PER"])
