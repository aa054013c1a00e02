"""What a server refuses: a status and a sentence, in the one form that every client reads.

The Open Inference Protocol wants ``{"error": …}`` for every status that is no success; clients of
it fail on anything else. The sentence never holds a path of the server, nor a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response


class Refusal(Exception):
    """Answer a request with an error.

    Args:
        status: Of HTTP, 400 or above.
        sentence: For whoever sent the request.
        reason: The same in a word, for the metrics.
        headers: To be sent along.
    """

    def __init__(
        self, status: int, sentence: str, reason: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.reason = status, reason
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer."""
        content = orjson.dumps({"error": str(self)})
        return Response(content, self.status, self.headers, media_type="application/json")


class ClientGone(Exception):
    """Say that whoever asked has hung up, so that nobody is there to be answered."""


def bad_request(sentence: str, reason: str = "malformed") -> Refusal:
    """Return the refusal of a request that is not what was documented."""
    return Refusal(400, sentence, reason)


def overloaded(sentence: str, reason: str) -> Refusal:
    """Return the refusal of a request that there is no room for now."""
    return Refusal(503, sentence, reason, {"retry-after": "1"})
