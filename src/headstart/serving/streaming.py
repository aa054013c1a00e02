"""An answer that is sent while it is written: server-sent events.

``data: {"text": …}`` for every new piece, then ``event: done`` with what a request without a stream
is answered, or ``event: error``: the status has been sent by then. A connection that ends early
ends the writing with the next token.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from headstart.bundles.writing import WritingBundle
from headstart.serving.measures import ServerMeasures
from headstart.serving.refusals import Refusal
from headstart.serving.room import Asked
from headstart.serving.writers import Prepared, ServedWriter, Texts
from headstart.serving.writing import Ids
from headstart.types.texts import Telling

EVENTS = "text/event-stream"


def wants_events(accept: str) -> bool:
    """Return whether a client asks for a stream.

    Args:
        accept: Its header.

    Example:
        >>> wants_events("text/event-stream;q=1, */*"), wants_events("*/*")
        (True, False)
    """
    return any(part.partition(";")[0].strip().lower() == EVENTS for part in accept.split(","))


class Pieces:
    """New pieces of a text, of ids as they grow; a letter whose bytes are not all there waits.

    Args:
        bundle: Makes texts of ids.
    """

    def __init__(self, bundle: WritingBundle) -> None:
        self._bundle, self.told = bundle, ""

    def of(self, ids: Ids) -> str:
        """Return what is new; empty where nothing is."""
        text = self._bundle.text_of(ids)
        is_whole = not text.endswith("\ufffd") and text.startswith(self.told)
        if not is_whole or text == self.told:
            return ""
        new, self.told = text[len(self.told) :], text
        return new


class EventStream:
    """The answer to one sample, sent while it is written.

    Args:
        model: Writes.
        prepared: The sample.
        how: It is written.
        asked: How to answer.
        size: Bytes that the request holds.
        record: Makes what ends it of what was written.
        measures: What is counted.
    """

    def __init__(
        self,
        model: ServedWriter,
        prepared: Prepared,
        how: Telling,
        *,
        asked: Asked,
        size: int,
        record: Callable[[Texts], Mapping[str, Any]],
        measures: ServerMeasures,
    ) -> None:
        self._model, self._prepared, self._how = model, prepared, how
        self._asked, self._size = asked, size
        self._record, self._measures = record, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        grown: asyncio.Queue[Ids | None] = asyncio.Queue()
        with self._model.batcher.admitted(1, self._size):
            head = [(b"content-type", EVENTS.encode()), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            writing = asyncio.ensure_future(self._write(grown))
            pieces = Pieces(self._model.bundle)
            while (ids := await grown.get()) is not None:
                if new := pieces.of(ids):
                    await _send(send, {"text": new})
            try:
                texts = await writing
            except Refusal as refusal:
                self._measures.refused(refusal.status, refusal.reason)
                await _send(send, {"error": str(refusal)}, "error")
            else:
                whole = texts.predictions[0].text or ""
                if whole != pieces.told and whole.startswith(pieces.told):
                    await _send(send, {"text": whole[len(pieces.told) :]})
                await _send(send, self._record(texts), "done")
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, grown: asyncio.Queue[Ids | None]) -> Texts:
        try:
            return await self._model.write(self._prepared, self._how, self._asked, grown.put_nowait)
        finally:
            grown.put_nowait(None)


async def _send(send: Send, record: Mapping[str, Any], event: str = "") -> None:
    head = f"event: {event}\n".encode() if event else b""
    body = head + b"data: " + orjson.dumps(record) + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})
