"""A text that something is to be answered to, and who has said what before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

USER, ANSWERER = "user", "assistant"
Turn = tuple[str, str]


class Conversation(str):
    """What stands before an answer; anything else takes it for the text that it is.

    Attributes:
        turns: Who says each turn, and what is said. The answer that is to be told is none of them;
            answers before it are.

    Example:
        >>> asked = Conversation.of([("user", "Who lives here?")])
        >>> asked, asked.turns
        ('Who lives here?', (('user', 'Who lives here?'),))
    """

    turns: tuple[Turn, ...]

    def __new__(cls, text: str, turns: Iterable[Sequence[str]]) -> Conversation:
        """Make one of a text and its turns."""
        made = super().__new__(cls, text)
        made.turns = tuple((str(role), str(content)) for role, content in turns)
        return made

    @classmethod
    def of(cls, turns: Sequence[Sequence[str]]) -> Conversation:
        """Return a conversation of turns; one alone of the user is written without its role.

        Args:
            turns: Role and content of each, at least one.
        """
        if len(turns) == 1 and turns[0][0] == USER:
            return cls(turns[0][1], turns)
        return cls("\n".join(f"{role}: {content}" for role, content in turns), turns)

    def __reduce__(self) -> tuple[type[Conversation], tuple[str, tuple[Turn, ...]]]:
        """Return what makes it again, so that it can be copied."""
        return Conversation, (str(self), self.turns)
