"""The page of new samples with where the model looked in each."""

from __future__ import annotations

from headstart.reporting.language import say
from headstart.reporting.measures import Json
from headstart.reporting.page import templates
from headstart.reporting.page_explained import explained_view


def render_explained(record: Json) -> str:
    """Return a self-contained HTML page.

    Args:
        record: As ``explanations.json``, with the new samples as ``items``.
    """
    alone = {**record, "importance": [], "dependence": []}
    num_items = len(record.get("items") or [])
    return (
        templates()
        .get_template("explained_page.html")
        .render(
            name=say("Predictions explained"),
            num_items=num_items,
            explained=explained_view(alone),
            footer=say("made by headstart predict"),
        )
    )
