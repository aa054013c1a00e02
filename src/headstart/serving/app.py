"""The application: the Open Inference Protocol, ``/v1/predict``, pages, metrics.

Bodies are read by ``intake``, samples by ``forms``, answers come from ``models``; here stands which
path leads where, and what an answer looks like.
"""

from __future__ import annotations

import asyncio
import gzip
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from headstart.serving.documents import openapi
from headstart.serving.forms import content_type
from headstart.serving.gate import Gate
from headstart.serving.intake import Intake
from headstart.serving.models import Asked, ServedModel, Shelf, record_of, shown
from headstart.serving.pages import docs_page, try_page
from headstart.serving.protocol import read_request, write_response
from headstart.serving.refusals import Refusal
from headstart.types import Prediction

TOP = 5
GONE = "headstart.gone"  # of the scope's extensions: whether a client has hung up
_LEAST_PACKED = 1024
_BINARY_LENGTH = "inference-header-content-length"
Endpoint = Callable[[Scope, Receive, Headers], Awaitable[Response]]


def build_app(shelf: Shelf, keys: Sequence[bytes] = ()) -> ASGIApp:
    """Return the application.

    Args:
        shelf: The models.
        keys: Digests of the keys that open it.
    """
    answers = _Answers(shelf)
    one, infer = "/v2/models/{model}", answers.infer
    routes = [
        _route("/", ("GET",), partial(_page, try_page, shelf)),
        _route("/docs", ("GET",), partial(_page, docs_page, shelf)),
        _route("/openapi.json", ("GET",), answers.openapi),
        _route("/metrics", ("GET",), answers.metrics),
        _route("/v1/models", ("GET",), answers.models),
        _route("/v1/predict", ("POST",), answers.predict),
        _route("/v2", ("GET",), answers.server),
        _route("/v2/health/live", ("GET",), answers.live),
        _route("/v2/health/ready", ("GET",), answers.ready),
        _route(one, ("GET",), answers.model),
        _route(f"{one}/ready", ("GET",), answers.model_ready),
        _route(f"{one}/infer", ("POST",), infer),
        _route(f"{one}/versions/{{version}}", ("GET",), answers.model),
        _route(f"{one}/versions/{{version}}/ready", ("GET",), answers.model_ready),
        _route(f"{one}/versions/{{version}}/infer", ("POST",), infer),
    ]
    router = Router(routes, redirect_slashes=False, default=_nowhere)
    return Gate(router, keys, shelf.measures)


class _Path:
    """What answers at one path; not a function, so that it sees every method itself."""

    def __init__(self, methods: Sequence[str], endpoint: Endpoint) -> None:
        self._methods, self._endpoint = (
            (*methods, *(["HEAD"] if "GET" in methods else [])),
            endpoint,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in self._methods:
            allowed = ", ".join(self._methods)
            raise Refusal(
                405,
                f"The method is not taken here; expected {allowed}.",
                "method",
                {"allow": allowed},
            )
        response = await self._endpoint(scope, receive, Headers(scope=scope))
        await response(scope, receive, send)


def _route(path: str, methods: Sequence[str], endpoint: Endpoint) -> Route:
    return Route(path, _Path(methods, endpoint))


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refusal(404, "There is nothing at this path; /docs lists what there is.", "path")


async def _page(
    page: Callable[[Shelf], str], shelf: Shelf, scope: Scope, receive: Receive, headers: Headers
) -> Response:
    return Response(page(shelf), media_type="text/html")


class _Answers:
    """What is answered at each path.

    Args:
        shelf: The models.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._intake = shelf, Intake(shelf.limits)

    async def openapi(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        return _json(openapi(self._shelf))

    async def metrics(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        self._shelf.measures.ready.set(float(self._shelf.is_ready))
        text = self._shelf.measures.text()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def models(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        """List the models with what a person needs to ask them."""
        listed = []
        for model in self._shelf.models:
            schema, (kind, body) = model.bundle.schema, model.form.example(model.bundle.preprocess)
            listed.append(
                {
                    "name": model.name,
                    "version": model.version,
                    "reads": schema.modality,
                    "tells": schema.task,
                    "classes": list(schema.classes[:1000]),
                    "columns": [one.name for one in model.raw],
                    "content_types": list(model.form.types),
                    "example": {"content_type": kind, "body": body},
                }
            )
        return _json({"models": listed})

    async def server(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        return _json(
            {
                "name": "headstart",
                "version": version("headstart"),
                "extensions": ["binary_tensor_data"],
            }
        )

    async def live(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        return _json({"live": True})

    async def ready(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        is_ready = self._shelf.is_ready
        return _json({"ready": is_ready}, 200 if is_ready else 503)

    async def model(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        return _json(record_of(self._found(scope)))

    async def model_ready(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        model, is_ready = self._found(scope), self._shelf.is_ready
        return _json({"name": model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def infer(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        """Answer a request of the Open Inference Protocol."""
        self._found(scope)
        kind = content_type(headers.get("content-type", ""))
        if kind not in ("", "application/json", "application/octet-stream"):
            raise Refusal(
                415, f"'{shown(kind)}' is not read here; expected application/json.", "type"
            )
        asked = self._asked(scope)
        body = await self._intake.body(headers, receive)
        request = read_request(body, headers.get(_BINARY_LENGTH))
        if request.timeout_seconds is not None:
            begun = asked.deadline - self._shelf.limits.request_seconds
            asked = Asked(min(asked.deadline, begun + request.timeout_seconds), asked.is_gone)
        model = self._found(scope)  # once more: a newer one may have taken its place meanwhile
        outputs = await model.answer_tensors(request.arrays, len(body), asked)
        name, _, _ = model.output
        dtype = np.float32 if model.bundle.task.has_classes else np.float64
        labels = np.empty(len(outputs), object)
        told = model.bundle.predictions([""] * len(outputs), outputs)
        labels[:] = [one.label for one in told]
        arrays = {name: outputs.reshape(len(outputs), -1).astype(dtype), "label": labels}
        head = {"model_name": model.name, "model_version": model.version}
        content, length = write_response(head, arrays, request)
        kind = "application/json" if length is None else "application/octet-stream"
        response = Response(content, media_type=kind)
        if length is not None:
            response.headers[_BINARY_LENGTH] = str(length)
        return _packed(response, headers)

    async def predict(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        """Answer samples as people send them."""
        asked_of = parse_qs(scope["query_string"].decode("latin-1")).get("model", [None])[-1]
        model = self._shelf.find(asked_of)
        kind = content_type(headers.get("content-type", ""))
        if kind not in model.form.types:
            raise Refusal(
                415,
                f"'{shown(kind)}' is not read by model '{model.name}'; expected "
                f"{', '.join(model.form.types)} as Content-Type.",
                "type",
            )
        asked = self._asked(scope)
        body = await self._intake.body(headers, receive)
        model = self._shelf.find(asked_of)
        scope["state"]["model"] = (model.name, model.version)
        read = partial(model.form.read, kind, body, model.bundle, self._shelf.limits)
        rows = model.form.counts(kind, body)
        names, outputs, notes = await model.answer_samples(read, rows, len(body), asked)
        told = model.bundle.predictions(names, outputs)
        record = {
            "model": model.name,
            "version": model.version,
            "predictions": [_told(one, model) for one in told],
        }
        return _packed(_json({**record, "notes": notes} if notes else record), headers)

    def _found(self, scope: Scope) -> ServedModel:
        named = scope["path_params"]
        model = self._shelf.find(named["model"], named.get("version"))
        scope["state"]["model"] = (model.name, model.version)
        return model

    def _asked(self, scope: Scope) -> Asked:
        deadline = asyncio.get_running_loop().time() + self._shelf.limits.request_seconds
        return Asked(deadline, scope.get("extensions", {}).get(GONE, _stays))


def _stays() -> bool:
    return False


def _told(prediction: Prediction, model: ServedModel) -> dict[str, Any]:
    """Return one answer as JSON: the label, its probability, and the best five."""
    if prediction.value is not None:
        return {"name": prediction.name, "value": prediction.value, **prediction.beside}
    pairs = zip(model.bundle.schema.classes, prediction.probabilities, strict=True)
    best = sorted(pairs, key=lambda pair: -pair[1])[:TOP]
    assert math.isfinite(prediction.probability)
    return {
        "name": prediction.name,
        "label": prediction.label,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": share} for label, share in best],
        **prediction.beside,
    }


def _json(record: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(record), status, media_type="application/json")


def _packed(response: Response, headers: Headers) -> Response:
    """Return a large answer packed by gzip where that is understood."""
    accepted = [
        part.partition(";")[0].strip() for part in headers.get("accept-encoding", "").split(",")
    ]
    if len(response.body) >= _LEAST_PACKED and "gzip" in accepted:
        response.body = gzip.compress(response.body, 1)
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return response
