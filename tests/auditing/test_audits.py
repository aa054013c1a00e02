import re
from pathlib import Path

from headstart.auditing.audits import AUDITS


def test_audits_are_named_by_their_key_and_ask_a_question() -> None:
    for name, audit in AUDITS.items():
        assert audit.name == name
        assert audit.question.endswith("?")


def test_the_page_of_check_names_every_audit() -> None:
    text = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z ]+)` \| .*\?", text, re.MULTILINE) == list(AUDITS)
