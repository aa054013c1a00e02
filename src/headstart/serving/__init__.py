"""Serving: bundles over HTTP, by ONNX Runtime; nothing here imports torch.

Starlette on uvicorn. ``running`` starts and ends it, ``app`` says which path leads where, ``gate``
who may come in, ``intake`` reads bodies, ``forms`` and ``protocol`` say what they mean, ``models``
and ``batching`` answer. Left out: fetching from addresses, uploads of models, several processes.
"""

from headstart.serving.gate import digest_of
from headstart.serving.limits import ServerLimits
from headstart.serving.measures import ServerMeasures
from headstart.serving.models import Shelf
from headstart.serving.request_log import RequestLog
from headstart.serving.running import run_server
from headstart.serving.watching import WatchOptions

__all__ = [
    "RequestLog",
    "ServerLimits",
    "ServerMeasures",
    "Shelf",
    "WatchOptions",
    "digest_of",
    "run_server",
]
