"""Tensors of the Open Inference Protocol, from JSON and from bytes, and back.

Strict: what is declared is what must be there. A number is no text, a shape has as many values as
it says, and nothing that is not finite goes in or out.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and
Triton's binary tensor data extension.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.serving.refusals import bad_request

DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
DATATYPES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
MOST_VALUES = 2**26
_KINDS = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}  # of values that a declared kind takes


def check_shape(shape: Any, name: str) -> tuple[int, ...]:
    """Return a shape of a request.

    Raises:
        Refusal: If it is no list of whole numbers, 0 to some million values together.
    """
    is_list = isinstance(shape, list) and 1 <= len(shape) <= 8
    if not is_list or any(type(n) is not int or n < 0 for n in shape):
        raise bad_request(f"The shape of '{name}' is no list of whole numbers from 0 on.")
    if math.prod(shape) > MOST_VALUES:
        raise bad_request(f"The shape of '{name}' stands for more than {MOST_VALUES:,} values.")
    return tuple(shape)


def from_json(data: Any, datatype: str, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return a tensor of JSON values, nested or flat.

    Args:
        data: Of the request.
        datatype: A key of ``DTYPES``.
        shape: Checked.
        name: Of the input, for a refusal.

    Raises:
        Refusal: If there are other values than declared, or another number of them.
    """
    if not isinstance(data, list):
        raise bad_request(f"'{name}' has no list as data.")
    dtype, count = np.dtype(DTYPES[datatype]), math.prod(shape)
    if dtype.kind == "O":
        values = _flat_texts(data, name)
        if len(values) != count:
            raise _another_number(name, len(values), shape)
        texts = np.empty(count, object)
        texts[:] = values
        return texts.reshape(shape)
    try:
        found = np.array(data)
    except (ValueError, OverflowError):
        raise bad_request(f"The data of '{name}' is no array: its rows differ.") from None
    if found.size != count:
        raise _another_number(name, found.size, shape)
    if found.size and (found.dtype.kind not in _KINDS[dtype.kind]):
        raise bad_request(f"The data of '{name}' holds values that are no {datatype}.")
    if dtype.kind in "iu" and found.size:
        span = np.iinfo(dtype)
        if int(found.min()) < span.min or int(found.max()) > span.max:
            raise bad_request(f"The data of '{name}' holds numbers beyond {datatype}.")
    with np.errstate(over="ignore"):
        whole = found.astype(dtype, copy=False).reshape(shape)
    return _finite(whole, name)


def from_bytes(data: bytes, datatype: str, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return a tensor of raw values, little-endian; texts with four bytes of length before each.

    Args:
        data: Exactly its bytes.
        datatype: A key of ``DTYPES``.
        shape: Checked.
        name: Of the input, for a refusal.

    Raises:
        Refusal: If there are more or fewer bytes than declared.
    """
    dtype, count = np.dtype(DTYPES[datatype]), math.prod(shape)
    if dtype.kind == "O":
        return _texts_of(data, count, name).reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise bad_request(
            f"'{name}' has {len(data):,} bytes; expected {count * dtype.itemsize:,} of "
            f"{datatype} and shape {list(shape)}."
        )
    array = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)
    if dtype.kind == "b" and (np.frombuffer(data, np.uint8) > 1).any():
        raise bad_request(f"'{name}' holds bytes that are no BOOL.")
    return _finite(array, name)


def to_bytes(array: np.ndarray) -> bytes:
    """Return a tensor as raw values; texts with four bytes of length before each."""
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    texts = [str(value).encode() for value in array.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def as_declared(array: np.ndarray, dtype: str, name: str) -> np.ndarray:
    """Return a tensor in the type that a network takes.

    Raises:
        Refusal: If it was declared as another.
    """
    if array.dtype != np.dtype(dtype):
        raise bad_request(
            f"'{name}' was sent as {DATATYPES[array.dtype]}; expected {DATATYPES[np.dtype(dtype)]}."
        )
    return array


def texts_of(arrays: Mapping[str, np.ndarray], name: str) -> list[str]:
    """Return the texts of a tensor of BYTES.

    Raises:
        Refusal: If one is not UTF-8, or it was declared as numbers.
    """
    array = as_declared(arrays[name], "object", name)
    try:
        return [
            value.decode() if isinstance(value, bytes) else str(value)
            for value in array.ravel().tolist()
        ]
    except UnicodeDecodeError:
        raise bad_request(f"'{name}' holds bytes that are no UTF-8.") from None


def _flat_texts(data: Sequence[Any], name: str) -> list[str]:
    found: list[str] = []
    for value in data:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            found += value
        else:
            raise bad_request(f"The data of '{name}' holds values that are no BYTES.")
    return found


def _texts_of(data: bytes, count: int, name: str) -> np.ndarray:
    texts = np.empty(count, object)
    place = 0
    for number in range(count):
        size = int.from_bytes(data[place : place + 4], "little")
        if place + 4 + size > len(data) or place + 4 > len(data):
            raise bad_request(f"'{name}' ends before its {count:,} values do.")
        texts[number] = data[place + 4 : place + 4 + size]
        place += 4 + size
    if place != len(data):
        raise bad_request(f"'{name}' has {len(data) - place:,} bytes after its last value.")
    return texts


def _finite(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise bad_request(f"'{name}' holds numbers that are not finite, or too large for its type.")
    return array


def _another_number(name: str, found: int, shape: tuple[int, ...]) -> Exception:
    return bad_request(
        f"'{name}' has {found:,} values; expected {math.prod(shape):,} for shape {list(shape)}."
    )
