"""What every request passes: the key before its body is read, and one form for all that fails.

Whatever happens inside, the answer of a failure is ``{"error": …}`` with a status; a fault of the
server's own says nothing of its insides, and what is logged is its kind and place in the code,
never what was asked.
"""

from __future__ import annotations

import hashlib
import hmac
import sys
import time
import traceback
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headstart.serving.measures import ServerMeasures
from headstart.serving.refusals import ClientGone, Refusal
from headstart.serving.request_log import RequestLog, trace_of

# Pages that hold nothing of a model, and what balancers ask that have no key.
OPEN = ("/", "/docs", "/v2/health/live", "/v2/health/ready")
_SECURITY = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


def digest_of(key: str) -> bytes:
    """Return what is kept of a key: its SHA-256."""
    return hashlib.sha256(key.encode()).digest()


class Gate:
    """The way in, around an application.

    Args:
        inner: The application.
        keys: Digests of the keys that open it; none lets everybody in.
        measures: What is counted.
        log: Gets a line a request; None writes none.
    """

    def __init__(
        self,
        inner: ASGIApp,
        keys: Sequence[bytes],
        measures: ServerMeasures,
        log: RequestLog | None = None,
    ) -> None:
        self._inner, self._keys, self._measures = inner, list(keys), measures
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        began, status, sent = time.perf_counter(), 0, 0
        state = scope.setdefault("state", {})

        async def sending(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_SECURITY]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            self._authorise(scope)
            await self._inner(scope, receive, sending)
        except Refusal as refusal:
            self._measures.refused(refusal.status, refusal.reason)
            if not status:
                await refusal.response()(scope, receive, sending)
        except ClientGone:
            status = 499
        except Exception as error:
            _say(error, trace_of(scope["headers"]))
            if not status:
                fault = Refusal(500, "The server failed at this request.", "fault")
                await fault.response()(scope, receive, sending)
        model, version = state.get("model", ("", ""))
        seconds = time.perf_counter() - began
        self._measures.answered(model, version, status, seconds)
        if self._log is not None:
            trace = trace_of(scope["headers"])
            self._log.write(scope["method"], status, seconds, sent, trace, state)

    def _authorise(self, scope: Scope) -> None:
        """Refuse whoever has no key; every key is compared, whichever fits."""
        if not self._keys or scope["path"] in OPEN:
            return
        told = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, key = told[0].partition(b" ") if len(told) == 1 else (b"", b"", b"")
        given = hashlib.sha256(key.strip()).digest()
        fits = [hmac.compare_digest(given, known) for known in self._keys]
        if kind.lower() != b"bearer" or not any(fits):
            raise Refusal(
                401,
                "A key is needed: send it as 'Authorization: Bearer KEY'.",
                "key",
                {"www-authenticate": "Bearer"},
            )


def _say(error: Exception, trace: str | None) -> None:
    """Say on stderr what kind of fault there was and where in the code; not its words."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    told = f", trace {trace}" if trace else ""
    print(f"fault: {type(error).__name__} in {places}{told}", file=sys.stderr, flush=True)
