"""The body of a request: read within limits of bytes and seconds, unpacked within limits too."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

from starlette.types import Receive

from headstart.serving.limits import ServerLimits
from headstart.serving.refusals import ClientGone, Refusal, bad_request, overloaded

GONE, WHOLE = "headstart.gone", "headstart.whole"  # of the scope's extensions, see connections
_WINDOWS = {"gzip": 31, "deflate": 47}  # of zlib: 47 finds out whether there is a header
_SMALL = 1 << 16


class Intake:
    """What reads bodies, and knows how much all of them hold together.

    Args:
        limits: Of the server.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._held = 0

    async def body(
        self, headers: Mapping[str, str], receive: Receive, *, is_here: bool = False
    ) -> bytes:
        """Return the body of a request, unpacked.

        Args:
            headers: Of the request, by names in small letters.
            receive: Gives its parts.
            is_here: Whether all of it has come, so that nothing is to be waited for.

        Raises:
            Refusal: If it is too large, too slow, or packed in a way that is not read.
            ClientGone: If whoever sends it hangs up.
        """
        packing = headers.get("content-encoding", "identity").strip().lower()
        if packing not in ("identity", *_WINDOWS):
            raise Refusal(
                415,
                f"Content-Encoding '{packing[:40]}' is not read; expected gzip, deflate or none.",
                "encoding",
            )
        most = self._limits.body_bytes
        if stated_bytes(headers) > most:
            raise self._too_large(most)
        if is_here:
            whole = await self._read(receive, most)
        else:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    whole = await self._read(receive, most)
            except TimeoutError:
                raise Refusal(
                    408,
                    f"The body took longer than {self._limits.body_seconds:g} s; send it faster.",
                    "slow",
                ) from None
        if packing == "identity":
            return whole
        if len(whole) < _SMALL:
            return inflated(whole, packing, self._limits.inflated_bytes)
        return await asyncio.to_thread(inflated, whole, packing, self._limits.inflated_bytes)

    async def _read(self, receive: Receive, most: int) -> bytes:
        """Return a body as it was sent."""
        held = 0
        parts: list[bytes] = []
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                held += len(part)
                self._held += len(part)
                if held > most:
                    raise self._too_large(most)
                if self._held > self._limits.reading_bytes:
                    raise overloaded("The server is reading too much at once.", "reading")
                if part:
                    parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            self._held -= held

    @staticmethod
    def _too_large(most: int) -> Refusal:
        return Refusal(
            413, f"The body is larger than the {most:,} bytes that a request may have.", "body"
        )


def stated_bytes(headers: Mapping[str, str]) -> int:
    """Return how long a body is said to be; 0 where nothing is said."""
    stated = headers.get("content-length", "")
    return int(stated) if stated.isascii() and stated.isdigit() else 0


def inflated(data: bytes, packing: str, most: int) -> bytes:
    """Return what a packed body holds.

    Args:
        data: As it was sent.
        packing: ``gzip`` or ``deflate``.
        most: Bytes that it may become.

    Raises:
        Refusal: If it becomes more, is cut short, or is not packed so.
    """
    unpacker = zlib.decompressobj(_WINDOWS[packing])
    try:
        whole = unpacker.decompress(data, most + 1)
    except zlib.error:
        raise bad_request(f"The body is not what Content-Encoding says ({packing}).") from None
    if len(whole) > most:
        raise Refusal(413, f"The body unpacks to more than {most:,} bytes.", "body")
    if not unpacker.eof or unpacker.unused_data:
        raise bad_request(f"The body is cut short, or more than {packing} data.")
    return whole
