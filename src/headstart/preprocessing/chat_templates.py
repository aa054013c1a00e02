"""How a conversation is written for a decoder: by the chat template that its tokenizer brings.

A template is a program in Jinja, perhaps a stranger's: it is rendered in a sandbox
(``chat_sandbox``). An answer is what a conversation has behind its turns rendered with the
opening of an answer; so training sees before an answer what a question alone is rendered to. Where
a tokenizer brings no template each turn ends with a line feed, and an answer with the token that
ends a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headstart.errors import StartError, first_line
from headstart.types import ANSWERER

PLAIN = (
    "{{ eos_token }}{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}"
    "{% endfor %}"
)
Turns = Sequence[tuple[str, str]]
Piece = tuple[str, bool]


def render(
    template: str, turns: Turns, special: Mapping[str, str], origin: str, *, opens: bool = False
) -> str:
    """Return a conversation as a template writes it.

    Args:
        template: In Jinja.
        turns: Role and content of each.
        special: Special tokens by their names, such as ``eos_token``.
        origin: Names the start in a refusal.
        opens: Whether the opening of an answer stands at the end.

    Raises:
        StartError: If the template refuses the conversation, or is none.
    """
    from headstart.preprocessing.chat_sandbox import compiled  # Jinja, where it is needed

    messages = [{"role": role, "content": content} for role, content in turns]
    given = {"messages": messages, "add_generation_prompt": opens, "tools": [], "documents": None}
    try:
        return compiled(template).render(**given, **special)
    except Exception as error:
        # A template is a program of others: it fails in every way that it likes.
        said = ", ".join(role for role, _ in turns)
        raise StartError(
            f"The chat template of '{origin}' refuses a conversation with the turns {said} "
            f"({first_line(error)}). Expected turns that it writes. Change the turns, or choose "
            "another start."
        ) from error


def pieces(
    template: str, turns: Turns, answer: str | None, special: Mapping[str, str], origin: str
) -> list[Piece]:
    r"""Return a conversation in pieces of text, each with whether it is an answer.

    Args:
        template: In Jinja.
        turns: What stands before the answer.
        answer: The answer; None opens one and leaves it open.
        special: See ``render``.
        origin: See ``render``.

    Returns:
        Pieces that together are what the template writes. An answer before the last is none where
        the template writes it in another way once more has been said, as those do that drop what a
        model has thought.

    Raises:
        StartError: As ``render``; or if what stands before an answer is written in another way once
            it is there.

    Example:
        >>> pieces(PLAIN, [("user", "Two and two?")], "Four.", {"eos_token": "<e>"}, "a start")
        [('<e>Two and two?\n', False), ('Four.<e>', True)]
    """
    opened = render(template, turns, special, origin, opens=True)
    if answer is None:
        return [*_former(template, turns, opened, special, origin)]
    whole = render(template, [*turns, (ANSWERER, answer)], special, origin)
    if not whole.startswith(opened):
        raise StartError(
            f"The chat template of '{origin}' writes what stands before an answer in another way "
            "once the answer is there. Expected the same, so that a question alone looks as in "
            "training. Choose another start, or give the tokenizer a plain template."
        )
    found = _former(template, turns, opened, special, origin)
    return [*found, (whole[len(opened) :], True)]


def _former(
    template: str, turns: Turns, opened: str, special: Mapping[str, str], origin: str
) -> list[Piece]:
    """Return what stands before the last answer, cut at the answers in it."""
    found: list[Piece] = []
    done = 0
    for place, (role, _) in enumerate(turns):
        if role != ANSWERER or place == 0:
            continue
        before = render(template, turns[:place], special, origin, opens=True)
        after = render(template, turns[: place + 1], special, origin)
        if opened.startswith(after) and after.startswith(before) and len(before) >= done:
            found += [(opened[done : len(before)], False), (opened[len(before) : len(after)], True)]
            done = len(after)
    found.append((opened[done:], False))
    return [piece for piece in found if piece[0]]
