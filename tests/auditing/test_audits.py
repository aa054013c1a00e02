from headstart.auditing.audits import AUDITS


def test_audits_are_named_by_their_key_and_ask_a_question() -> None:
    for name, audit in AUDITS.items():
        assert audit.name == name
        assert audit.question.endswith("?")
