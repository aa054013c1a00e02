"""What a server counts, under the names that Prometheus reads; never what it was asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from headstart.monitoring import KeptAnswers
from headstart.types import Prediction

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SHARES = tuple(tenth / 10 for tenth in range(1, 11))
MOST_CLASSES = 50  # that have a series of their own; the others share one
OTHER = "other"


class ServerMeasures:
    """The metrics of a server."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # series that nobody asks for
        self.registry = CollectorRegistry()
        model = ("model",)
        self.requests = self._counter(
            "requests",
            "Requests answered, by model, version and status.",
            ("model", "version", "code"),
        )
        self.rejected = self._counter(
            "rejected", "Requests that there was no room for.", ("reason",)
        )
        self.cancelled = self._counter(
            "cancelled", "Requests dropped: whoever asked has hung up.", ()
        )
        self.input_errors = self._counter(
            "input_errors", "Requests that were not as documented.", ("reason",)
        )
        self.predictions = self._counter("predictions", "Answers, by class.", ("model", "class"))
        self.tokens = self._counter("tokens", "Tokens that were written.", model)
        self.duration = self._histogram(
            "request_duration_seconds", "From the headers of a request to its answer.", _SECONDS
        )
        self.queue = self._histogram(
            "queue_duration_seconds", "That a prepared request waits for its batch.", _SECONDS
        )
        self.inference = self._histogram(
            "inference_duration_seconds", "That a batch is computed.", _SECONDS
        )
        self.batch = self._histogram("batch_size", "Rows of a batch.", _ROWS)
        self.confidence = self._histogram(
            "confidence", "Probability of the class that was answered.", _SHARES
        )
        self.depth = self._gauge("queue_depth", "Rows under way, waiting or computed.", model)
        self.info = self._gauge(
            "model_info", "1 of each model that is served.", ("model", "version", "task")
        )
        self.ready = self._gauge("ready", "Whether the server is ready.", ())
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram | None]] = {}

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(f"headstart_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str]) -> Gauge:
        return Gauge(f"headstart_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        named = f"headstart_{name}"
        return Histogram(named, text, ("model",), buckets=buckets, registry=self.registry)

    def text(self) -> bytes:
        """Return all of them as Prometheus reads them."""
        return generate_latest(self.registry)

    def answered(self, model: str, version: str, status: int, seconds: float) -> None:
        """Count a request that was answered.

        Args:
            model: Its name; empty where none was found.
            version: Its version; the same.
            status: Of HTTP.
            seconds: From its headers to its answer.
        """
        key = (model, version, status)
        if key not in self._known:  # looking series up takes longer than counting
            counter = self.requests.labels(model, version, str(status))
            self._known[key] = counter, self.duration.labels(model) if model else None
        counter, duration = self._known[key]
        counter.inc()
        if duration is not None:
            duration.observe(seconds)

    def refused(self, status: int, reason: str) -> None:
        """Count a request that was refused."""
        if status in (503, 504):
            self.rejected.labels(reason).inc()
        elif 400 <= status < 500:
            self.input_errors.labels(reason).inc()

    def answers_of(self, model: str, classes: Sequence[str]) -> Callable[[KeptAnswers], None]:
        """Return what counts a model's answers.

        Args:
            model: Its name.
            classes: What its answers name; empty where it tells numbers, which are not counted.
        """
        shown = [*classes[:MOST_CLASSES], *[OTHER] * max(0, len(classes) - MOST_CLASSES)]
        counters = [self.predictions.labels(model, name) for name in shown]
        confidence = self.confidence.labels(model)

        def count(answers: KeptAnswers) -> None:
            if not counters or answers.flags is None:
                return
            for counter, number in zip(counters, answers.counts.tolist(), strict=True):
                if number:
                    counter.inc(number)
            for share in answers.numbers.tolist():
                confidence.observe(share)

        return count

    def spans_of(
        self, model: str, classes: Sequence[str]
    ) -> Callable[[Sequence[Prediction]], None]:
        """Return what counts the spans that a model of words finds, by what they are.

        Args:
            model: Its name.
            classes: Its tags; spans of types beyond the first ones share a series.
        """
        shown = {name.partition("-")[2] or name for name in classes[:MOST_CLASSES]}
        confidence = self.confidence.labels(model)

        def count(predictions: Sequence[Prediction]) -> None:
            for span in (span for one in predictions for span in one.spans or ()):
                named = span.label if span.label in shown else OTHER
                self.predictions.labels(model, named).inc()
                confidence.observe(span.probability)

        return count
