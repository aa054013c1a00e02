"""What a model that writes is sent: texts, and conversations where it answers these."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from headstart.bundles import Bundle
from headstart.bundles.writing import WritingBundle
from headstart.errors import DataError
from headstart.serving.bodies import JSON, TEXT, Named, check_num_rows, checked_texts, read_json
from headstart.serving.forms import FORMS, Form
from headstart.serving.limits import ServerLimits
from headstart.serving.refusals import bad_request
from headstart.types import ANSWERER, Conversation

_MESSAGES = "messages"
_MOST_TURNS = 1_000


def form_of_writer(bundle: WritingBundle) -> Form:
    """Return how samples of a bundle that writes are sent."""
    from headstart.preprocessing import DialoguePreprocess  # of which other servers know nothing

    texts, read = FORMS["words"], bundle.preprocess
    if isinstance(read, DialoguePreprocess) and read.of_turns:
        example = (TEXT, "How long is the warranty?")
        reading = partial(_read_asked, texts)
        return replace(
            texts, read=reading, example=lambda _: example, counts=partial(_count, texts)
        )
    if isinstance(read, DialoguePreprocess):
        return replace(texts, example=lambda _: (TEXT, "Once upon a time"))
    return replace(texts, example=lambda _: (TEXT, "Two dogs run on a beach."))


def _count(texts: Form, kind: str, data: bytes) -> int:
    """Return about how many conversations or texts a body has."""
    return data.count(b'"messages"') or texts.counts(kind, data)


def _read_asked(texts: Form, kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    """Return questions, and conversations: ``{"messages": […]}`` or a list of such."""
    found: Any = read_json(data) if kind == JSON else None
    if isinstance(found, dict) and _MESSAGES in found:
        found = [found]
    are_chats = isinstance(found, list) and any(
        isinstance(one, dict) and _MESSAGES in one for one in found
    )
    if not are_chats:
        return texts.read(kind, data, bundle, limits)
    check_num_rows(len(found), limits)
    asked = [_conversation(one, place, limits) for place, one in enumerate(found, 1)]
    return asked, [f"chat {place + 1}" for place in range(len(asked))]


def _conversation(given: Any, place: int, limits: ServerLimits) -> Conversation:
    """Return a conversation that waits for an answer.

    Raises:
        Refusal: If it is none, is too long, or does not end with a question.
    """
    from headstart.data.sources.dialogues import turns_of

    if not isinstance(given, dict) or given.keys() != {_MESSAGES}:
        raise bad_request(f"Chat {place} is no JSON object with 'messages' alone.")
    messages = given[_MESSAGES]
    if not isinstance(messages, list) or len(messages) > _MOST_TURNS:
        raise bad_request(f"'messages' of chat {place} is no list of at most {_MOST_TURNS:,}.")
    try:
        turns = turns_of(messages, f"chat {place}")
    except DataError as error:
        raise bad_request(str(error)) from None
    checked_texts(["".join(content for _, content in turns)], limits)
    if turns[-1][0] == ANSWERER:
        raise bad_request(f"Chat {place} ends with an answer; expected a turn of the user.")
    return Conversation.of(turns)
