"""Requests for answers in the Open Inference Protocol, read and written: JSON, and bytes after it.

Left out: what the protocol allows and nobody needs here (priorities, sequences, shared memory).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from headstart.serving.refusals import bad_request
from headstart.serving.tensors import (
    DATATYPES,
    DTYPES,
    check_shape,
    from_bytes,
    from_json,
    to_bytes,
)

_REQUEST = {"id", "parameters", "inputs", "outputs"}
_INPUT = {"name", "shape", "datatype", "parameters", "data"}
_OUTPUT = {"name", "parameters"}
_MOST_TENSORS = 4096  # a table has one a column


@dataclass(frozen=True)
class InferRequest:
    """One request.

    Attributes:
        id: To be given back; None where it has none.
        arrays: The inputs, by name.
        rows: Rows of each.
        outputs: Names that are asked for, and whether as bytes; empty asks for all.
        is_binary: Whether outputs come as bytes where nothing is said of one.
        timeout_seconds: That the client gives it; None where it says nothing.
        parameters: Of the request.
    """

    id: str | None
    arrays: dict[str, np.ndarray]
    rows: int
    outputs: dict[str, bool]
    is_binary: bool
    timeout_seconds: float | None
    parameters: Mapping[str, Any]


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """Read a request.

    Args:
        body: Unpacked.
        header_length: ``Inference-Header-Content-Length``, where bytes follow the JSON.

    Raises:
        Refusal: If it is not what the protocol says.
    """
    tail = memoryview(b"")
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit()):
            raise bad_request("Inference-Header-Content-Length is no whole number.")
        if int(header_length) > len(body):
            raise bad_request("Inference-Header-Content-Length is larger than the body.")
        tail = memoryview(body)[int(header_length) :]
        body = body[: int(header_length)]
    record = _json_object(body)
    _check_keys(record, _REQUEST, "The request")
    said = _parameters(record, "The request")
    arrays = _inputs(record, tail)
    rows = {len(array) for array in arrays.values()}
    if len(rows) != 1 or rows == {0}:
        raise bad_request("The inputs have no rows, or not the same number of them.")
    named = record.get("id")
    if named is not None and not isinstance(named, str):
        raise bad_request("The id is no text.")
    timeout = said.get("timeout")
    if timeout is not None and (type(timeout) is not int or timeout < 0):
        raise bad_request("The timeout is no whole number of microseconds.")
    is_binary = said.get("binary_data_output", False) is True
    outputs = _outputs(record, is_binary=is_binary)
    seconds = timeout / 1e6 if timeout else None
    return InferRequest(named, arrays, rows.pop(), outputs, is_binary, seconds, said)


def write_response(
    head: Mapping[str, Any], outputs: Mapping[str, np.ndarray], request: InferRequest
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON where bytes follow.

    Args:
        head: What stands before the outputs.
        outputs: By name.
        request: Says which are asked for, and how.

    Raises:
        Refusal: If an output is asked for that there is not.
    """
    wanted = request.outputs or dict.fromkeys(outputs, request.is_binary)
    if unknown := [name for name in wanted if name not in outputs]:
        raise bad_request(f"There is no output '{unknown[0][:80]}'; expected {', '.join(outputs)}.")
    listed: list[dict[str, Any]] = []
    tails: list[bytes] = []
    for name, is_binary in wanted.items():
        array = outputs[name]
        one: dict[str, Any] = {
            "name": name,
            "datatype": DATATYPES[array.dtype],
            "shape": list(array.shape),
        }
        if is_binary:
            tails.append(to_bytes(array))
            one["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            one["data"] = array.ravel().tolist()
        listed.append(one)
    own = {"id": request.id} if request.id is not None else {}
    text = orjson.dumps({**head, **own, "outputs": listed})
    return (text + b"".join(tails), len(text)) if tails else (text, None)


def _json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; one that says something twice is refused."""
    try:
        record = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise bad_request("The body is no JSON.") from None
    if not isinstance(record, dict):
        raise bad_request("The body is no JSON object.")
    tensors = [*_listed(record, "inputs"), *_listed(record, "outputs")]
    told = {b'"inputs"': 1, b'"outputs"': 1, b'"data"': len(tensors), b'"shape"': len(tensors)}
    told |= {b'"datatype"': len(tensors), b'"name"': len(tensors)}
    if any(body.count(word) > often for word, often in told.items()):
        refuse_twice(body)
    return record


def refuse_twice(body: bytes) -> None:
    """Refuse JSON in which an object has a key twice: which of them counts is anybody's guess.

    Raises:
        Refusal: If so.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise bad_request("The body has a key twice in one object.")
        return found

    try:
        json.loads(body, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise bad_request("The body is no JSON.") from None


def _listed(record: Mapping[str, Any], key: str) -> list[Any]:
    found = record.get(key)
    return found if isinstance(found, list) else []


def _check_keys(record: Any, known: set[str], what: str) -> None:
    if not isinstance(record, dict):
        raise bad_request(f"{what} is no JSON object.")
    if unknown := record.keys() - known:
        raise bad_request(f"{what} has an unknown field '{min(unknown)[:80]}'.")


def _parameters(record: Mapping[str, Any], what: str) -> dict[str, Any]:
    said = record.get("parameters")
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise bad_request(f"{what} has parameters that are no JSON object.")
    return said


def _inputs(record: Mapping[str, Any], tail: memoryview) -> dict[str, np.ndarray]:
    """Return the inputs of a request, by name."""
    given = record.get("inputs")
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST_TENSORS:
        raise bad_request("The request has no list of inputs.")
    arrays: dict[str, np.ndarray] = {}
    place = 0
    for one in given:
        _check_keys(one, _INPUT, "An input")
        name, datatype = one.get("name"), one.get("datatype")
        if not isinstance(name, str) or name in arrays:
            raise bad_request("An input has no name, or two have the same.")
        if not isinstance(datatype, str) or datatype not in DTYPES:
            raise bad_request(f"Input '{name[:80]}' has a datatype that is not known.")
        shape = check_shape(one.get("shape"), name[:80])
        size = _parameters(one, "An input").get("binary_data_size")
        if (size is None) == ("data" not in one):
            raise bad_request(f"Input '{name[:80]}' needs data, or a binary_data_size.")
        if size is None:
            arrays[name] = from_json(one["data"], datatype, shape, name[:80])
            continue
        if type(size) is not int or not 0 <= size <= len(tail) - place:
            raise bad_request(f"Input '{name[:80]}' has a binary_data_size beyond the body.")
        arrays[name] = from_bytes(bytes(tail[place : place + size]), datatype, shape, name[:80])
        place += size
    if place != len(tail):
        raise bad_request(f"{len(tail) - place:,} bytes follow the last input.")
    return arrays


def _outputs(record: Mapping[str, Any], *, is_binary: bool) -> dict[str, bool]:
    given = record.get("outputs")
    if given is None:
        return {}
    if not isinstance(given, list) or len(given) > _MOST_TENSORS:
        raise bad_request("The outputs are no list.")
    found: dict[str, bool] = {}
    for one in given:
        _check_keys(one, _OUTPUT, "An output")
        name = one.get("name")
        if not isinstance(name, str) or name in found:
            raise bad_request("An output has no name, or two have the same.")
        said = _parameters(one, "An output").get("binary_data", is_binary)
        found[name] = said is True
    return found
