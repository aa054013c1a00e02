"""The OpenAPI document of a server, made of what it serves."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from headstart.serving.models import AnyModel, ServedModel, Shelf
from headstart.serving.tensors import DTYPES
from headstart.serving.writers import ServedWriter

_STATUSES = {
    "400": "The request is not what is documented.",
    "401": "A key is needed.",
    "404": "There is no such model or version.",
    "405": "The method is not taken here.",
    "408": "The body came too slowly.",
    "413": "Too large: bytes, rows, pixels or characters.",
    "415": "The content type or encoding is not read.",
    "503": "No room, or not ready; Retry-After says when to try again.",
    "504": "The answer took too long.",
}
_FREE: dict[str, Any] = {"type": "object"}
_NUMBERS = {
    "max_tokens": ("integer", "Tokens that are written, at the most; of models that write."),
    "num_beams": ("integer", "Beginnings that are followed at once; of models that write."),
    "temperature": ("number", "Tokens are drawn; of models that go on with a text."),
    "top_p": ("number", "Of the likeliest with this share together; with a temperature."),
    "seed": ("integer", "Of what is drawn; with a temperature."),
}
_WRITING = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": text,
        "schema": {"type": kind},
    }
    for name, (kind, text) in _NUMBERS.items()
]


def openapi(shelf: Shelf) -> dict[str, Any]:
    """Return the document."""
    names = [model.name for model in shelf.models]
    types = sorted({kind for model in shelf.models for kind in model.form.types})
    paths: dict[str, Any] = {
        "/v2": {"get": _operation("server", "Server metadata", ("name", "version"))},
        "/v2/health/live": {"get": _operation("live", "Whether the process answers", ("live",))},
        "/v2/health/ready": {
            "get": _operation("ready", "Whether it is ready to answer", ("ready",))
        },
        "/v1/models": {"get": _operation("models", "What is served", ("models",))},
        "/v1/monitor": {"get": _operation("monitor", "Whether it has drifted", ("models",))},
        "/v1/predict": {"post": _predict(shelf, names, types)},
    }
    for place, suffix in (("", ""), ("/versions/{version}", "Version")):
        path = f"/v2/models/{{model}}{place}"
        said = [_parameter("model", names)]
        said += [_parameter("version", sorted({m.version for m in shelf.models}))] if place else []
        metadata = _operation(f"metadata{suffix}", "Inputs and outputs", ("name", "inputs"))
        ready = _operation(f"modelReady{suffix}", "Whether the model is ready", ("ready",))
        infer = _operation(f"infer{suffix}", "Answers by the protocol", ("model_name", "outputs"))
        infer["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _request()}},
        }
        paths[path] = {"parameters": said, "get": metadata}
        paths[f"{path}/ready"] = {"parameters": said, "get": ready}
        paths[f"{path}/infer"] = {"parameters": said, "post": infer}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "headstart",
            "version": version("headstart"),
            "description": "The Open Inference Protocol, and /v1/predict for samples as they are.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"key": []}],
    }


def _operation(name: str, summary: str, keys: tuple[str, ...]) -> dict[str, Any]:
    schema = {**_FREE, "required": list(keys)}
    error = {**_FREE, "required": ["error"], "properties": {"error": {"type": "string"}}}
    content = {"application/json": {"schema": schema}}
    if name.startswith("infer"):
        content["application/octet-stream"] = {"schema": {}}
    statuses: dict[str, Any] = {
        status: {
            "description": text,
            # of readiness the status alone says it, and the body is that of a success
            "content": {"application/json": {"schema": {"anyOf": [error, schema]}}},
        }
        for status, text in _STATUSES.items()
    }
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "Answered.", "content": content}, **statuses},
    }


def _parameter(name: str, values: list[str]) -> dict[str, Any]:
    schema = {"type": "string", **({"enum": values} if values else {})}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _predict(shelf: Shelf, names: list[str], types: list[str]) -> dict[str, Any]:
    writes = any(isinstance(model, ServedWriter) for model in shelf.models)
    made = _operation("predict", "Predicts samples as they are", ("predictions",))
    made["parameters"] = [
        {
            "name": "model",
            "in": "query",
            "required": len(names) > 1,
            "schema": {"type": "string", "enum": names},
        },
        {
            "name": "explain",
            "in": "query",
            "required": False,
            "description": "1 tells of a single sample what the answer looked at.",
            "schema": {"type": "string", "enum": ["0", "1"]},
        },
        *(_WRITING if writes else []),
    ]
    free: dict[str, Any] = {"application/json": {"schema": {}}}
    plain = {kind: {"schema": {"type": "string"}} for kind in types if kind not in free}
    content = {**{kind: free[kind] for kind in types if kind in free}, **plain}
    made["requestBody"] = {"required": True, "content": content}
    if writes:
        made["responses"]["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return made


def _request() -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"type": "string", "enum": list(DTYPES)},
            "parameters": _FREE,
            "data": {"type": "array"},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "parameters": _FREE},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": _FREE,
            "inputs": {"type": "array", "minItems": 1, "items": tensor},
            "outputs": {"type": "array", "items": output},
        },
        "additionalProperties": False,
    }


def record_of(model: AnyModel) -> dict[str, Any]:
    """Return the metadata of a model in the Open Inference Protocol."""
    label = {"name": "label", "datatype": "BYTES", "shape": [-1]}
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": one.name, "datatype": one.datatype, "shape": [-1]} for one in model.raw
        ],
        "outputs": [
            *(
                {"name": name, "datatype": datatype, "shape": shape}
                for name, datatype, shape in model.outputs
            ),
            *([label] if isinstance(model, ServedModel) else []),
        ],
    }
