"""The application: the Open Inference Protocol, ``/v1/predict``, pages, metrics.

Bodies are read by ``intake``, samples by ``forms``, answers come from ``models``; here stands which
path leads where, and what an answer looks like.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from headstart.serving.bodies import Named, content_type
from headstart.serving.documents import openapi, record_of
from headstart.serving.gate import Gate
from headstart.serving.intake import GONE, WHOLE, Intake, stated_bytes
from headstart.serving.models import Answer, AnyModel, ServedModel, Shelf, shown
from headstart.serving.pages import PAGE_HEADERS, docs_page, try_page
from headstart.serving.pairs import ServedPair
from headstart.serving.protocol import read_request, write_response
from headstart.serving.refusals import Refusal, bad_request
from headstart.serving.request_log import RequestLog
from headstart.serving.room import Asked
from headstart.serving.streaming import EventStream, wants_events
from headstart.serving.told import matched_record, named, told, written
from headstart.serving.writers import SAID, ServedWriter

_LEAST_PACKED = 1024
_BINARY_LENGTH = "inference-header-content-length"
Said = Mapping[str, str]  # headers of a request, by names in small letters
Endpoint = Callable[[Scope, Receive, Said], Awaitable[ASGIApp]]


def build_app(shelf: Shelf, keys: Sequence[bytes] = (), log: RequestLog | None = None) -> ASGIApp:
    """Return the application.

    Args:
        shelf: The models.
        keys: Digests of the keys that open it.
        log: Gets a line a request; None writes none.
    """
    answers = _Answers(shelf)
    fixed = {
        "/": _Path(("GET",), partial(_page, try_page, shelf)),
        "/docs": _Path(("GET",), partial(_page, docs_page, shelf)),
        "/openapi.json": _Path(("GET",), answers.openapi),
        "/metrics": _Path(("GET",), answers.metrics),
        "/v1/models": _Path(("GET",), answers.models),
        "/v1/monitor": _Path(("GET",), answers.monitor),
        "/v1/predict": _Path(("POST",), answers.predict),
        "/v2": _Path(("GET",), answers.server),
        "/v2/": _Path(("GET",), answers.server),  # as the protocol's own document has it
        "/v2/health/live": _Path(("GET",), answers.live),
        "/v2/health/ready": _Path(("GET",), answers.ready),
    }
    of_model = {
        "": _Path(("GET",), answers.model),
        "ready": _Path(("GET",), answers.model_ready),
        "infer": _Path(("POST",), answers.infer),
    }
    return Gate(_Paths(fixed, of_model), keys, shelf.measures, log)


class _Paths:
    """Which path leads where.

    Args:
        fixed: Whole paths.
        of_model: What follows ``/v2/models/MODEL`` or ``/v2/models/MODEL/versions/VERSION``.
    """

    def __init__(self, fixed: Mapping[str, _Path], of_model: Mapping[str, _Path]) -> None:
        self._fixed, self._of_model = fixed, of_model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._fixed.get(scope["path"])
        if path is None:
            path = self._found(scope)
        else:
            scope["state"]["path"] = scope["path"]
        await path(scope, receive, send)

    def _found(self, scope: Scope) -> _Path:
        words = scope["path"].split("/")
        if words[:3] == ["", "v2", "models"] and len(words) > 3:
            named, left = {"model": words[3]}, words[4:]
            if len(left) > 1 and left[0] == "versions":
                named, left = {**named, "version": left[1]}, left[2:]
            action = self._of_model.get(left[0] if left else "")
            if action is not None and len(left) < 2 and left != [""] and all(named.values()):
                scope["path_params"] = named
                scope["state"]["path"] = "/".join(["/v2/models/MODEL", *left])
                return action
        raise Refusal(404, "There is nothing at this path; /docs lists what there is.", "path")


class _Path:
    """What answers at one path.

    Args:
        methods: That are taken; with GET also HEAD.
        endpoint: Answers.
    """

    def __init__(self, methods: Sequence[str], endpoint: Endpoint) -> None:
        self._methods = (*methods, *(["HEAD"] if "GET" in methods else []))
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in self._methods:
            allowed = ", ".join(self._methods)
            raise Refusal(
                405,
                f"The method is not taken here; expected {allowed}.",
                "method",
                {"allow": allowed},
            )
        # of a header that is sent twice, the first counts
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in reversed(scope["headers"])
        }
        response = await self._endpoint(scope, receive, headers)
        await response(scope, receive, send)


async def _page(
    page: Callable[[Shelf], str], shelf: Shelf, scope: Scope, receive: Receive, headers: Said
) -> Response:
    return Response(page(shelf), headers=PAGE_HEADERS, media_type="text/html")


class _Answers:
    """What is answered at each path.

    Args:
        shelf: The models.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._intake = shelf, Intake(shelf.limits)

    async def openapi(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        return _json(openapi(self._shelf))

    async def metrics(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        self._shelf.measures.ready.set(float(self._shelf.is_ready))
        text = self._shelf.measures.text()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def monitor(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        """Tell what is known of drift."""
        watches = self._shelf.watches
        return _json({"models": [watches.state(one.bundle) for one in self._shelf.models]})

    async def models(self, scope: Scope, receive: Receive, headers: Said) -> Response:
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
                    "writes": isinstance(model, ServedWriter),
                    "classes": list(schema.classes[:1000]),
                    "columns": [one.name for one in model.raw],
                    "content_types": list(model.form.types),
                    "example": {"content_type": kind, "body": body},
                }
            )
        return _json({"models": listed})

    async def server(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        return _json(
            {
                "name": "headstart",
                "version": version("headstart"),
                "extensions": ["binary_tensor_data"],
            }
        )

    async def live(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        is_alive = self._shelf.is_alive
        return _json({"live": is_alive}, 200 if is_alive else 503)

    async def ready(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        is_ready = self._shelf.is_ready
        return _json({"ready": is_ready}, 200 if is_ready else 503)

    async def model(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        return _json(record_of(self._found(scope)))

    async def model_ready(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        model, is_ready = self._found(scope), self._shelf.is_ready
        return _json({"name": model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def infer(self, scope: Scope, receive: Receive, headers: Said) -> Response:
        """Answer a request of the Open Inference Protocol."""
        model = self._found(scope)
        kind = content_type(headers.get("content-type", ""))
        if kind not in ("", "application/json", "application/octet-stream"):
            raise Refusal(
                415, f"'{shown(kind)}' is not read here; expected application/json.", "type"
            )
        asked = self._asked(scope)
        body = await self._body(scope, receive, headers, model)
        request = read_request(body, headers.get(_BINARY_LENGTH))
        scope["state"].update(rows=request.rows, id=request.id and shown(request.id))
        if request.timeout_seconds is not None:
            begun = asked.deadline - self._shelf.limits.request_seconds
            asked = Asked(min(asked.deadline, begun + request.timeout_seconds), asked.is_gone)
        model = self._found(scope)  # once more: a newer one may have taken its place meanwhile
        if isinstance(model, ServedWriter):
            said = request.parameters
            texts = await model.answer_tensors(request.arrays, len(body), said, asked)
            arrays = model.tensors_of(texts)
        elif isinstance(model, ServedPair):
            found = await model.answer_tensors(request.arrays, len(body), asked)
            arrays = model.tensors_of(found)
        else:
            answer = await model.answer_tensors(request.arrays, len(body), asked)
            arrays = model.tensors_of(answer)
            _note(scope, model, answer)
        head = {"model_name": model.name, "model_version": model.version}
        content, length = write_response(head, arrays, request)
        kind = "application/json" if length is None else "application/octet-stream"
        response = Response(content, media_type=kind)
        if length is not None:
            response.headers[_BINARY_LENGTH] = str(length)
        return _packed(response, headers)

    async def predict(self, scope: Scope, receive: Receive, headers: Said) -> ASGIApp:
        """Answer samples as people send them."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        asked_of = query.get("model", [None])[-1]
        explains = query.get("explain", ["0"])[-1]
        if explains not in ("0", "1"):
            raise bad_request("explain is 0 or 1.")
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
        body = await self._body(scope, receive, headers, model)
        model = self._shelf.find(asked_of)
        scope["state"]["model"] = (model.name, model.version)
        bundle: Any = model.bundle  # of the kind that its form reads for
        read = partial(model.form.read, kind, body, bundle, self._shelf.limits)
        rows = model.form.counts(kind, body)
        if isinstance(model, ServedWriter):
            if explains == "1":
                raise bad_request(f"Model '{model.name}' writes texts; explained are classes.")
            said = {name: values[-1] for name, values in query.items()}
            is_streamed = wants_events(headers.get("accept", ""))
            write = self._stream if is_streamed else self._write
            response = await write(model, read, (rows, len(body)), said, asked)
            return _packed(response, headers) if isinstance(response, Response) else response
        if ways := [name for name in SAID if name in query]:
            raise bad_request(f"Model '{model.name}' writes no texts, which {ways[0]} is for.")
        if isinstance(model, ServedPair):
            if explains == "1":
                raise bad_request(f"Model '{model.name}' matches; explained are classes.")
            matched = await model.match(read, rows, len(body), asked)
            return _packed(_json({**named(model), **matched_record(matched)}), headers)
        more: dict[str, Any] = {}
        if explains == "1":
            answer, more["looked_at"] = await model.explain(read, len(body), asked)
        else:
            answer = await model.answer_samples(read, rows, len(body), asked)
            more = {"notes": answer.notes} if answer.notes else {}
        _note(scope, model, answer)
        found = [told(one, model) for one in answer.predictions]
        return _packed(_json({**named(model), "predictions": found, **more}), headers)

    async def _write(
        self,
        model: ServedWriter,
        read: Callable[[], Named],
        sizes: tuple[int, int],
        said: Said,
        asked: Asked,
    ) -> ASGIApp:
        """Answer with what is written of samples.

        Args:
            model: Writes.
            read: Gives samples.
            sizes: Rows and bytes, about.
            said: The query: how to write.
            asked: How to answer.
        """
        how = model.telling(said)
        with model.batcher.admitted(min(sizes[0], self._shelf.limits.rows), sizes[1]):
            prepared = await model.prepare(read, asked)
            return _json(written(model, await model.write(prepared, how, asked)))

    async def _stream(
        self,
        model: ServedWriter,
        read: Callable[[], Named],
        sizes: tuple[int, int],
        said: Said,
        asked: Asked,
    ) -> ASGIApp:
        """Answer with what is written of one sample, while it is written; as ``_write``."""
        how = model.telling(said)
        with model.batcher.admitted(1, sizes[1]):
            prepared = await model.prepare(read, asked)
        if (num := len(prepared.inputs)) != 1:
            raise bad_request(f"The request has {num} samples; streamed is one at a time.")
        return EventStream(
            model,
            prepared,
            how,
            asked=asked,
            size=sizes[1],
            record=partial(written, model),
            measures=self._shelf.measures,
        )

    async def _body(self, scope: Scope, receive: Receive, headers: Said, model: AnyModel) -> bytes:
        """Return a body; what there is no room for is refused before it is read."""
        model.batcher.demand_room(1, stated_bytes(headers))
        is_whole = scope.get("extensions", {}).get(WHOLE, _stays)
        body = await self._intake.body(headers, receive, is_here=is_whole())
        scope["state"]["bytes"] = len(body)
        return body

    def _found(self, scope: Scope) -> AnyModel:
        named = scope["path_params"]
        model = self._shelf.find(named["model"], named.get("version"))
        scope["state"]["model"] = (model.name, model.version)
        return model

    def _asked(self, scope: Scope) -> Asked:
        deadline = asyncio.get_running_loop().time() + self._shelf.limits.request_seconds
        return Asked(deadline, scope.get("extensions", {}).get(GONE, _stays))


def _note(scope: Scope, model: ServedModel, answer: Answer) -> None:
    """Note what may be logged of an answer: how many rows, and of a single one its class."""
    found, bundle = answer.predictions, model.bundle
    scope["state"]["rows"] = len(found)
    if len(found) == 1 and bundle.task.has_classes and not (bundle.is_pieced or bundle.task.parts):
        scope["state"].update(label=found[0].label, probability=found[0].probability)


def _stays() -> bool:
    return False  # neither gone nor known to be whole


def _json(record: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(record), status, media_type="application/json")


def _packed(response: Response, headers: Said) -> Response:
    """Return a large answer packed by gzip where that is understood."""
    if len(response.body) < _LEAST_PACKED:
        return response
    accepted = [
        part.partition(";")[0].strip() for part in headers.get("accept-encoding", "").split(",")
    ]
    if "gzip" in accepted:
        response.body = gzip.compress(response.body, 1)
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return response
