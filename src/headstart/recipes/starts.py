"""List the starting points one could begin from."""

from __future__ import annotations

from typing import Literal

from headstart import events
from headstart.events import hushes
from headstart.reporting.console import attached
from headstart.types import Start


class StartList(list[Start]):
    """Starting points, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        """Return the table."""
        from headstart.reporting.notebook import html_table

        columns = ("start", "family", "modality", "parameters", "pretrained on", "licence", "local")
        rows = [
            [
                start.address,
                start.family,
                start.modality,
                start.num_parameters or None,
                start.pretrained_on,
                start.licence,
                start.is_local,
            ]
            for start in self
        ]
        return html_table(columns, rows)


@hushes
def starts(
    *,
    like: str | None = None,
    modality: Literal["all", "image", "text", "table"] = "all",
    quiet: bool = False,
) -> StartList:
    """List starting points: what they are, how large, under which licence, and whether local.

    No network is used and no weights are loaded.

    Args:
        like: Part of a name, or a pattern such as timm/vit_*_224, looked for in every start that
            timm, pip and headstart have; a short list of proven ones when not given.
        modality: What the start reads.
        quiet: Show no progress.

    Returns:
        By modality those from pip, then random ones, then timm's or the hub's; at the end those of
        your own that pretrain has left in runs/; empty where nothing matches.

    Example:
        >>> import headstart as hs
        >>> [start.address for start in hs.list_starts(like="scratch/simple")]
        ['scratch/simple-cnn']
    """
    from headstart.starts import list_starts
    from headstart.starts.own import own_starts

    found = StartList([*list_starts(modality, like), *own_starts(modality, like)])
    with attached():
        if not found:
            events.emit(
                "note",
                text=f"No start matches '{like}'; without --like the proven ones are listed.",
            )
        elif like is None:
            events.emit("note", text="A short list of proven ones; --like '*' lists all.")
    return found
