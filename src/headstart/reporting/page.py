"""The report of a run as one HTML page that needs nothing else: no script, no request, no fonts.

The page holds the full record: the verdict in one sentence, figures with intervals, the paired
verdicts, confusion, calibration, every class, residuals, curves, how the start was chosen, what the
data was, every option, and the worst mistakes. Python says what is shown, as plain texts; the Jinja
templates of ``templates/`` say where it stands, and escape every one of them, because all names
come from users' files. A content security policy in the page forbids scripts and requests in case
one is missed. Wording that the text report shares lies in ``wording.py``, the figures of each task
in ``measures.py``, charts in ``charts.py`` and ``unit_chart.py``, what stands at the head in
``page_head.py``, what is shown of figures in ``page_figures.py``, of probabilities in
``page_trust.py``, of single items in ``page_samples.py``, of explanations in ``page_explained.py``,
of trainings in ``page_curves.py``, of how the run was made in ``page_making.py``; the languages in
``language.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from headstart.reporting.language import say, spoken
from headstart.reporting.measures import Json, ladders_of_parts
from headstart.reporting.page_curves import curves_view
from headstart.reporting.page_explained import explained_view
from headstart.reporting.page_figures import (
    by_class_view,
    confusion_view,
    headline_view,
    ladder_view,
    residuals_view,
)
from headstart.reporting.page_head import cost_view, provenance_view, use_view, verdict_view
from headstart.reporting.page_making import (
    choice_view,
    class_counts_view,
    data_view,
    footer,
    options_view,
)
from headstart.reporting.page_samples import (
    doubtful_view,
    examples_view,
    mistakes_view,
    seen_view,
    written_view,
)
from headstart.reporting.page_trust import behind_view, decisions_view, repeats_view, trust_view
from headstart.reporting.terminal import unbroken
from headstart.reporting.wording import (
    data_title,
    describe_start,
    ensemble_sentence,
    start_address,
)

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Beside:
    """What is shown of single items beside the worst mistakes.

    Attributes:
        doubtful: The test items on which the model was least decided, as the worst mistakes.
        names: What test items that were wrong are called, by their id as text.
        examples: ``examples.json``: samples of each class.
        explanations: ``explanations.json``: where the model looked.
    """

    doubtful: Sequence[Json] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    examples: Json = field(default_factory=dict)
    explanations: Json = field(default_factory=dict)


def render_page(
    metrics: Json,
    model: Json,
    data: Json,
    options: Json,
    log_records: list[Json],
    samples: list[Json] | None = None,
    views: Json | None = None,
    beside: Beside | None = None,
) -> str:
    """Return the report as a self-contained HTML page, in the language that is spoken.

    A key that is missing leaves its section out.

    Args:
        metrics: ``metrics.json``.
        model: ``model.json``.
        data: ``data.json``.
        options: ``options.json``.
        log_records: Lines of ``log.jsonl``; used are those of kind ``task`` with a ``loss`` and
            those of kind ``check`` with ``val_loss`` or ``val_score`` (of ``metric``), of the arms
            and phases that are announced between them.
        samples: The worst mistakes: ``name``, ``target``, ``prediction``, ``probability`` (of the
            prediction, in [0, 1]) and, by modality, ``image_png_base64``, ``text`` or ``row``
            (column to value). Without classes target and prediction are numbers. At most 48
            pictures or 24 others are shown.
        views: ``views.json``: training images beside what the network sees of them.
        beside: What else is shown of single items.
    """
    test, beside = metrics.get("test") or {}, beside or Beside()
    return (
        templates()
        .get_template("page.html")
        .render(
            name=data_title(data.get("name") or model.get("data_name") or say("run")),
            verb=options.get("verb"),
            start=data_title(start_address(model)),
            about_start=describe_start(model),
            strategy=model.get("strategy"),
            ensemble=ensemble_sentence(model),
            verdict=verdict_view(metrics),
            provenance=provenance_view(model, options),
            headline=headline_view(metrics, model),
            ladders=[ladder_view(own) for own in (metrics, *ladders_of_parts(metrics))],
            residuals=residuals_view(test, model),
            trust=trust_view(metrics),
            behind=behind_view(metrics, beside.names),
            decisions=decisions_view(metrics),
            repeats=repeats_view(metrics),
            mistakes=mistakes_view(samples or [], metrics),
            doubtful=doubtful_view(beside.doubtful, metrics),
            written=written_view(metrics),
            explained=explained_view(beside.explanations),
            confusion=confusion_view(test),
            by_class=by_class_view(metrics),
            seen=seen_view(views or {}),
            curves=curves_view(log_records, metrics, model),
            choice=choice_view(model, options),
            data=data_view(data),
            class_counts=class_counts_view(data, model),
            examples=examples_view(beside.examples),
            use=use_view(model),
            cost=cost_view(metrics, model, options),
            options=options_view(options),
            footer=footer(data, model),
        )
    )


@cache
def templates() -> Environment:
    """Return the templates; Jinja is imported here, because the console needs none."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("headstart.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: unbroken(value) if type(value) is str else value,
    )
    made.globals |= {"_": say, "language": spoken}
    return made
