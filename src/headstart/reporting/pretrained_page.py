"""The page of a pretrained start: its loss beside trivial ones, the probe, and what it tells."""

from __future__ import annotations

from headstart.reporting.charts import line_chart
from headstart.reporting.language import say
from headstart.reporting.measures import Json
from headstart.reporting.page import templates
from headstart.reporting.page_curves import curves_view
from headstart.reporting.page_head import cost_view
from headstart.reporting.page_making import (
    choice_view,
    class_counts_view,
    data_view,
    footer,
    options_view,
)
from headstart.reporting.pretrained_text import (
    about_start,
    figures_of,
    probe_sentence,
    probes_of,
    verdict_of,
)
from headstart.reporting.wording import data_title


def render_pretrained_page(
    metrics: Json,
    model: Json,
    data: Json,
    options: Json,
    log_records: list[Json],
    views: Json | None = None,
) -> str:
    """Return the report of a pretrained start as a self-contained HTML page.

    Args:
        metrics: ``metrics.json``, with ``pretraining``.
        model: ``model.json``.
        data: ``data.json``.
        options: ``options.json``.
        log_records: Lines of ``log.jsonl``.
        views: ``views.json``: held-out samples, passage by passage.
    """
    found = metrics["pretraining"]
    curves = curves_view(log_records, metrics, model)
    probes = probes_of(found)
    if probes:
        points = [(float(step), score) for step, score, _ in probes]
        name = say("val {figure}", figure=say(probes[0][2]))
        label = say("{what} over steps", what=name)
        chart = line_chart([(name, "line-b", points)], x_label=say("step"), label=label)
        if chart and curves is not None:
            curves["charts"].append(([("line-b", name)], chart))
    if curves is not None:
        curves["lead"] = say(
            "Loss over what is hidden. Val is held out; what is hidden of it never changes, and "
            "the gain is the share of the trivial loss that is gone."
        )
    return (
        templates()
        .get_template("pretrained.html")
        .render(
            name=data_title(data.get("name") or "start"),
            about_start=about_start(model),
            verdict=verdict_of(found),
            figures=figures_of(found),
            probes=probe_sentence(probes) if probes else "",
            shown=(views or {}).get("shown") or [],
            curves=curves,
            choice=choice_view(model, options),
            data=data_view(data),
            class_counts=class_counts_view(data, model),
            use=None,
            examples=None,
            cost=cost_view(metrics, model, options),
            options=options_view(options),
            footer=footer(data, model),
        )
    )
