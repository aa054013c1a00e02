"""A run under way as a page that asks for itself again every two seconds; no script."""

from __future__ import annotations

from headstart.reporting.charts import line_chart
from headstart.reporting.page import templates
from headstart.reporting.terminal import format_seconds, format_value
from headstart.reporting.watching.followed import FollowedRun
from headstart.reporting.watching.text_view import headline, shown_curves
from headstart.tasks import called

REFRESH_SECONDS = 2
_MAX_TRAININGS = 6
_MAX_SAID = 30


def render_live_page(run: FollowedRun) -> str:
    """Return the page of a run as it stands.

    Args:
        run: Up to date.
    """
    tasks = [
        {
            "name": fields.get("name"),
            "done": fields.get("done") or 0,
            "total": fields.get("total"),
            "count": format_value(fields.get("done"))
            + (f"/{format_value(fields['total'])}" if fields.get("total") else ""),
            "left": format_seconds(fields["eta_seconds"]) if fields.get("eta_seconds") else "",
        }
        for fields in run.tasks.values()
    ]
    trainings = []
    for training in reversed(run.trainings[-_MAX_TRAININGS:]):
        charts = [
            {
                "name": called(name),
                "now": format_value(training.curves[name][-1][1]),
                "svg": line_chart(
                    [(called(name), "line-a", training.curves[name])],
                    x_label="step",
                    label=f"{called(name)} of {training.name} over steps",
                ),
            }
            for name in shown_curves(training)
        ]
        trainings.append({"name": training.name, "charts": charts})
    return (
        templates()
        .get_template("live.html")
        .render(
            name=run.folder.name,
            headline=headline(run),
            refresh=REFRESH_SECONDS if run.status == "running" else 0,
            stage=run.stage,
            tasks=tasks,
            trainings=trainings,
            spent=[(name, format_seconds(seconds)) for name, seconds in run.spent],
            said=list(reversed(run.said[-_MAX_SAID:])),
        )
    )
