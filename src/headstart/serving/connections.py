"""Connections that do not wait for ever: headers within seconds and bytes, and no body unwanted.

uvicorn gives a connection that has sent nothing, or a header every now and then, all the time it
likes; and it reads a body to its end whose request was answered long ago.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headstart.serving.intake import GONE, WHOLE
from headstart.serving.limits import ServerLimits


class PatientProtocol(HttpToolsProtocol):
    """One connection, its patience limited.

    Attributes:
        limits: Of the server; set on a subclass.
    """

    limits = ServerLimits()

    def connection_made(self, transport: Any) -> None:
        """Expect headers from now on."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._is_whole = self._has_headers = True
        self._is_refused = False
        self._header_bytes = 0
        self._wait(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what has begun and is not whole has its time, what is whole needs no timer."""
        super().data_received(data)
        if self._timer is not None or self.transport.is_closing():
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        if not self._has_headers or (is_idle and self.timeout_keep_alive_task is None):
            self._wait(self.limits.header_seconds)

    def on_message_begin(self) -> None:
        """Expect its headers."""
        self._is_whole = self._has_headers = False
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the first line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer, and let the answer know whether anybody waits for it."""
        self._has_headers = True
        self._stop_waiting()
        if self._is_refused:
            return
        super().on_headers_complete()
        cycle: Any = self.cycle
        if cycle is not None and cycle.scope is self.scope:
            # what a request holds goes with it: a circle would wait for the garbage collector
            known = weakref.ref(cycle)
            self.scope["extensions"] = {
                GONE: lambda: (one := known()) is None or bool(one.disconnected),
                WHOLE: lambda: (one := known()) is not None and not one.more_body,
            }

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that nothing of the body is to come."""
        self._is_whole = True
        self._stop_waiting()
        if not self._is_refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait only a moment for the rest of a body that nobody reads."""
        super().on_response_complete()
        if not self._is_whole and not self.transport.is_closing():
            self._wait(self.limits.linger_seconds)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as everything that is refused is answered."""
        self._refuse(b"400 Bad Request", msg)

    def _refuse(self, status: bytes, sentence: str) -> None:
        self._is_refused = True
        body = orjson.dumps({"error": sentence})
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close" % status
        self.transport.write(b"%b\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.transport.close()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        most = self.limits.header_bytes
        if self._header_bytes <= most or self._is_refused or self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._cut()  # in the middle of another answer
        else:
            told = f"The first line and the headers have more than {most:,} bytes."
            self._refuse(b"431 Request Header Fields Too Large", told)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._cut)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
