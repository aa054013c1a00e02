"""A plain table with a row an answer: the same text or image, labelled by several people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headstart.cells import as_list, is_missing
from headstart.data.options import ReadOptions
from headstart.data.roles import is_image_column, prose_kind
from headstart.data.sources.answers import Sample, Tally, settled
from headstart.data.sources.split_columns import refuse_torn
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

RATER = re.compile(r"(annotator|rater|coder|worker|labell?er|judge)([_ ]?(id|name|no))?", re.I)


def read_raters(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]] | None:
    """Join the rows of one sample where a column says who labelled it; None for other tables.

    Args:
        table: Any table; its column of texts or images says which rows are of one sample.
        options: A rater's column that is named as input, dropped, or the group, says nothing.
    """
    named = {options.label, options.group, *options.drop, *options.kept_columns}
    rater = next((c for c in table.columns if RATER.fullmatch(c) and c not in named), None)
    target = options.target_among(table.columns)
    if rater is None or target not in table.columns:
        return None
    column = options.text or options.image_column or _input_column(table, target)
    if column is None or column not in table.columns:
        return None
    columns = {name: table.values(name) for name in table.columns}
    asked = list(zip(columns[column], columns[rater], strict=True))
    contents = {str(content) for content, _ in asked}
    if len(contents) == len(asked) or len({str(pair) for pair in asked}) < len(asked):
        return None  # nobody repeats anybody, or one says several things of one sample
    others = [name for name in table.columns if name not in (rater, target)]
    samples: dict[str, Sample] = {}
    for number, (content, _) in enumerate(asked):
        cells = {name: columns[name][number] for name in others}
        sample = samples.setdefault(str(content), Sample(number, cells))
        label = columns[target][number]
        labels = as_list(label)
        if labels or (labels is None and not is_missing(label)):
            sample.answers.append([str(one) for one in labels or [label]])
    firsts = [samples[str(content)].number for content, _ in asked]
    refuse_torn(table, firsts, (rater, target, column, *named), "sample")
    return settled(samples.values(), table.where, table.root, target, Tally())


def _input_column(table: Table, target: str) -> str | None:
    """Return the only column of texts or of images."""
    found = []
    for name in table.columns:
        head = table.head(name)
        distinct = list(dict.fromkeys(map(str, head))) if not is_image_column(head) else head
        if name != target and (is_image_column(head) or prose_kind(distinct)):
            found.append(name)
    return found[0] if len(found) == 1 else None
