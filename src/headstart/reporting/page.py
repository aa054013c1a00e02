"""The report of a run as one HTML page that needs nothing else: no script, no request, no fonts.

The page holds the full record: figures with intervals, the paired verdict, curves, confusion, every
class, residuals, how the start was chosen, what the data was, every option, and the worst
mistakes. Python says what is shown, as plain texts; the Jinja templates of ``templates/`` say where
it stands, and escape every one of them, because all names come from users' files. A content
security policy in the page forbids scripts and requests in case one is missed. Wording that the
text report shares lies in ``wording.py``, the figures of each task in ``measures.py``, charts in
``charts.py``, what is shown of the model's figures in ``page_figures.py``, of single items in
``page_samples.py``, of how the run was made in ``page_making.py``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from headstart.reporting.measures import Json
from headstart.reporting.page_figures import (
    by_class_view,
    confusion_view,
    headline_view,
    ladder_view,
    residuals_view,
)
from headstart.reporting.page_making import (
    choice_view,
    curves_view,
    data_view,
    footer,
    options_view,
)
from headstart.reporting.page_samples import mistakes_view, seen_view
from headstart.reporting.wording import (
    data_title,
    describe_start,
    ensemble_sentence,
    start_address,
)

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(
    metrics: Json,
    model: Json,
    data: Json,
    options: Json,
    log_records: list[Json],
    samples: list[Json] | None = None,
    views: Json | None = None,
) -> str:
    """Return the report as a self-contained HTML page.

    A key that is missing leaves its section out.

    Args:
        metrics: ``metrics.json``.
        model: ``model.json``.
        data: ``data.json``.
        options: ``options.json``.
        log_records: Lines of ``log.jsonl``; used are those of kind ``task`` with a ``loss`` and
            those of kind ``check`` with ``val_loss`` or ``val_score`` (of ``metric``).
        samples: The worst mistakes: ``name``, ``target``, ``prediction``, ``probability`` (of the
            prediction, in [0, 1]) and, by modality, ``image_png_base64``, ``text`` or ``row``
            (column to value). Without classes target and prediction are numbers. At most 48
            pictures or 24 others are shown.
        views: ``views.json``: training images beside what the network sees of them.
    """
    test = metrics.get("test") or {}
    return (
        templates()
        .get_template("page.html")
        .render(
            name=data_title(data.get("name") or model.get("data_name") or "run"),
            verb=options.get("verb"),
            start=start_address(model),
            about_start=describe_start(model),
            strategy=model.get("strategy"),
            ensemble=ensemble_sentence(model),
            headline=headline_view(metrics, model),
            ladder=ladder_view(metrics),
            residuals=residuals_view(test, model),
            mistakes=mistakes_view(samples or [], metrics),
            confusion=confusion_view(test),
            by_class=by_class_view(metrics),
            seen=seen_view(views or {}),
            curves=curves_view(log_records, metrics, model),
            choice=choice_view(model, options),
            data=data_view(data),
            options=options_view(options, metrics),
            footer=footer(data, model),
        )
    )


@cache
def templates() -> Environment:
    """Return the templates; Jinja is imported here, because the console needs none."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("headstart.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
