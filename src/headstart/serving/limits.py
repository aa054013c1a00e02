"""What a server takes at the most: bytes, rows, pixels, characters, seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """The limits of a server.

    Attributes:
        body_bytes: Of a request as it is sent.
        inflated_bytes: Of a request whose body is compressed.
        reading_bytes: Of all bodies together that are being read.
        header_bytes: Of the first line and all headers of a request.
        pixels: Of an image, by its header.
        characters: Of a text.
        rows: Of a request.
        new_tokens: That are written of a sample.
        batch_rows: That a model computes together.
        waiting_rows: That are under way for one model; a request of more is taken alone.
        waiting_bytes: The same, of their bodies.
        header_seconds: For the headers of a request to come.
        body_seconds: For its body to come.
        request_seconds: For its answer.
        linger_seconds: That a body which nobody wants may still come, so that its sender can read
            why.
        keep_alive_seconds: That a connection stays open without a request.
        grace_seconds: From the signal to stop, in which the server says that it is not ready and
            answers on, so that a balancer can see it.
        drain_seconds: That requests under way have after that.
    """

    body_bytes: int = 16 * 2**20
    inflated_bytes: int = 64 * 2**20
    reading_bytes: int = 256 * 2**20
    header_bytes: int = 32 * 2**10
    pixels: int = 25_000_000
    characters: int = 10_000
    rows: int = 256
    new_tokens: int = 1024
    batch_rows: int = 32
    waiting_rows: int = 256
    waiting_bytes: int = 64 * 2**20
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    request_seconds: float = 30.0
    linger_seconds: float = 2.0
    keep_alive_seconds: float = 5.0
    grace_seconds: float = 3.0
    drain_seconds: float = 25.0
