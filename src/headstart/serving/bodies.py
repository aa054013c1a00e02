"""What the body of a request holds: its type, characters, JSON, a CSV, an image; all within limits.

Which of them a modality takes, and what they become, is ``forms``'.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from headstart.bundles import Bundle
from headstart.errors import DataError
from headstart.serving.limits import ServerLimits
from headstart.serving.protocol import refuse_twice
from headstart.serving.refusals import Refusal, bad_request

Named = tuple[Any, list[str]]  # samples, and what to call each of them
JSON, CSV, TEXT = "application/json", "text/csv", "text/plain"
IMAGES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff")
_CHARSETS = ("", "utf-8", "utf8", "us-ascii")


@dataclass(frozen=True)
class RawInput:
    """One input of the Open Inference Protocol that takes samples as they are.

    Attributes:
        name: Its name.
        datatype: Of the protocol, as it is best sent.
    """

    name: str
    datatype: str


def content_type(header: str) -> str:
    """Return the type of a body without its parameters.

    Raises:
        Refusal: If it has characters other than UTF-8.
    """
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in _CHARSETS:
            raise Refusal(415, "The charset is not read; expected utf-8.", "charset")
    return kind


def checked_texts(texts: Sequence[Any], limits: ServerLimits) -> list[str]:
    """Return texts of a request.

    Raises:
        Refusal: If one is no text, or too long.
    """
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise bad_request(f"Text {place + 1} is no JSON string.")
        if len(text) > limits.characters:
            raise Refusal(
                413,
                f"Text {place + 1} has {len(text):,} characters; expected at most "
                f"{limits.characters:,}.",
                "characters",
            )
    return list(texts)


def check_num_rows(number: int, limits: ServerLimits) -> None:
    """Refuse a request without rows, or with too many.

    Raises:
        Refusal: If so.
    """
    if number < 1:
        raise bad_request("The request has no rows.")
    if number > limits.rows:
        raise Refusal(
            413,
            f"The request has {number:,} rows; expected at most {limits.rows:,}. Send several.",
            "rows",
        )


def decoded(data: bytes) -> str:
    """Return the characters of a body in UTF-8.

    Raises:
        Refusal: If it is none.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise bad_request("The body is no UTF-8.") from None


def read_json(data: bytes) -> Any:
    """Return the JSON value of a body.

    Raises:
        Refusal: If it is none, or names a key twice.
    """
    try:
        found = orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError):
        raise bad_request("The body is no JSON.") from None
    refuse_twice(data)
    return found


def read_csv(data: bytes, bundle: Bundle) -> Any:
    """Return the table of a CSV, by the reader that ``predict`` has."""
    from headstart.data.sources.given_tables import AsTrained

    header = bundle.record.reading.get("header")
    how = AsTrained(header=tuple(header) if header else None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body.csv"
        path.write_bytes(data)
        try:
            ((table, _),) = how.open_tables(str(path))
        except DataError as error:
            raise bad_request(str(error).replace(str(path), "The body")) from None
        import pyarrow as pa

        return pa.table({name: list(table.values(name)) for name in table.columns})


def check_image(data: bytes, limits: ServerLimits) -> None:
    """Refuse the bytes of a file that are no image, or have too many pixels.

    Raises:
        Refusal: If so.
    """
    from headstart.preprocessing import UnreadableImage
    from headstart.preprocessing.images import read_header

    try:
        header = read_header(data)
    except UnreadableImage as error:
        raise bad_request(f"The image cannot be used: {error.reason}.", "image") from None
    pixels = header.height * header.width
    if pixels > limits.pixels:
        raise Refusal(
            413,
            f"The image has {pixels:,} pixels; expected at most {limits.pixels:,}.",
            "pixels",
        )
