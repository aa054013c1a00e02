"""Look over the columns of a table before anything is learned: what misleads, what is missing.

All of it on train alone, except that nothing is left out that the user has named:

- empty and constant columns are left out;
- identifiers are left out: words of which at least 95 % are different; whole numbers that are all
  different and either run on (the span is at most three times their number) or bear a name such
  as ``id``. Whole numbers that merely differ, such as populations, stay. Of one that looks like
  dates, which were not read as such, the note says so;
- what pandas calls the rows' index is left out (``__index_level_0__``, ``Unnamed: 0``, a header
  without a name before whole numbers);
- a column that alone predicts the target almost perfectly is warned of, not left out: only the
  user knows whether it will be known when the model is used. The check: a small decision tree on
  that column (for words, the usual target of each word) is fitted on one half of train and judged
  on the other; balanced accuracy or R² of at least 0.99 is almost perfect;
- missing cells are counted.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.cells import MOSTLY
from headstart.columnar import give_memory_back, is_text
from headstart.data.binned import HOPELESS, binned_fit
from headstart.data.groups import names_someone, repeated_cells
from headstart.data.identity import count_different, word_numbers
from headstart.data.records import Records
from headstart.data.roles import no_inputs
from headstart.errors import quoted
from headstart.preprocessing.dates import WORDS_LOOKED_AT, look_like_dates
from headstart.preprocessing.numbers import is_like_an_amount
from headstart.preprocessing.rows import TableSamples
from headstart.types import ColumnKind, Finding

ID_NAME = re.compile(
    r"(.*[_\s-])?(id|ids|idx|index|key|uuid|guid|nr|rownames?|row)|.*(编号|序号|索引)"
    r"|unnamed: ?\d+|column \d+|__index_level_\d+__",
    re.IGNORECASE,
)
INDEX_NAME = re.compile(r"__index_level_\d+__|unnamed: ?0(_level_\d+)?|column 1", re.IGNORECASE)
ID_NAME_CASED = re.compile(r".*[a-z](Id|ID)$")
MIN_ROWS = 20
MIN_RUN_ROWS = 50
RUN_SPAN = 3
DISTINCT_SHARE = 0.95
ALMOST_PERFECT = 0.99
MAX_CHECKED_ROWS = 5_000
MIN_GUESSED = 0.8  # of the rows: a word of its own for every row tells nothing
LISTED = 6
HEAD_ROWS = 1_000
HEAD_PART = 10


SHOWN = 3


LEAST_SENTINELS = 5  # rows


def survey(
    records: Records, is_train: np.ndarray, is_copy: np.ndarray | None = None
) -> tuple[list[str], list[Finding]]:
    """Return the columns that stay, and findings about the others and about those that stay.

    Args:
        records: Of a table.
        is_train: bool, shape (N,).
        is_copy: bool, shape (N,), of which rows another is the same: these prove nothing.

    Raises:
        DataError: No column is left.
    """
    samples = records.samples
    assert isinstance(samples, TableSamples)
    kinds = records.column_kinds or {}
    give_memory_back()  # what copies were found with
    train = np.flatnonzero(is_train)
    constant, ids, index_like, sentinels = [], [], set(), list[Finding]()
    num_missing: dict[str, int] = {}
    for name, kind in kinds.items():  # a column at a time: train is not in memory twice
        column = _column_of(samples, name, train)
        is_kept = name in records.kept_columns
        num_missing[name] = column.null_count
        if not is_kept and _num_values(column) < 2:
            constant.append(name)
        elif not is_kept and is_identifier(name, kind, column):
            ids.append(name)
            index_like |= {name} if _is_index(name, kind, column) else set()
        elif kind == "numeric":
            sentinels += _sentinels(name, column)
        del column
        give_memory_back(len(train))  # pieces of columns that are gone would add up
    varied = [name for name in kinds if name not in constant]
    if not varied:
        raise no_inputs(records.name, records.columns)
    if len(ids) == len(varied):
        ids = []  # the only inputs there are
    kept = [name for name in varied if name not in ids]
    counts = Counter(kinds[name] for name in kept)
    shown = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
    plural = "" if len(kept) == 1 else "s"
    sentence = f"Rows of a table: {len(kept)} input column{plural} ({shown})."
    findings = [Finding("columns", "note", (), sentence)]
    if constant:
        plural = "s" if len(constant) > 1 else ""
        sentence = f"Left out column{plural} {quoted(constant)}: no two training rows differ there."
        findings.append(Finding("constant", "note", (), sentence))
    for name in ids:
        sentence = _say_identifier(
            name, kinds[name], _some(samples, name, train), name in index_like
        )
        findings.append(Finding("identifier", "warning", (), sentence))
    findings += sentinels
    if records.groups is None:
        for name in [name for name in kept if name not in records.kept_columns]:
            findings += _of_someone(name, samples, train)
    findings += _missing_cells({name: num_missing[name] for name in kept}, len(train))
    give_memory_back()
    different = train if is_copy is None else train[~is_copy[train]]
    findings += _leaks(records, samples.select(kept), different)
    return kept, findings


def _column_of(samples: TableSamples, name: str, rows: np.ndarray) -> Any:
    """Return a column of some rows; a number for each of its words, where it holds words."""
    cells = samples.column(name)
    return word_numbers(cells, rows) if is_text(cells) else samples.column(name, rows)


def _some(samples: TableSamples, name: str, rows: np.ndarray) -> Any:
    """Return so many cells of a column that examples can be shown and dates be known."""
    if is_text(samples.column(name)) and len(rows) > WORDS_LOOKED_AT:
        rows = rows[np.linspace(0, len(rows) - 1, WORDS_LOOKED_AT).astype(np.int64)]
    return samples.column(name, rows)


def _of_someone(name: str, samples: TableSamples, rows: np.ndarray) -> list[Finding]:
    """Return that a column may name what belongs together; its cells are counted only then."""
    if not names_someone(name):
        return []
    column = _column_of(samples, name, rows).drop_null()
    return repeated_cells(name, count_different(column), len(column))


def _sentinels(name: str, column: Any) -> list[Finding]:
    """Return which numbers of nines, far from all others of a column of train, may stand for none.

    Programs write -999 or 9999 where a number is not known; a network reads them as numbers.
    """
    import pyarrow.compute as pc

    ends = pc.min_max(column)
    findings = []
    for value in {ends["min"].as_py(), ends["max"].as_py()} - {None}:
        digits = f"{abs(value):.0f}"
        if set(digits) != {"9"} or len(digits) < 2:
            continue
        values = column.drop_null().to_numpy()
        others = values[values != value]
        number = len(values) - len(others)
        if number < LEAST_SENTINELS or not len(others):
            continue
        gap = others.min() - value if value < others.min() else value - others.max()
        if gap <= np.ptp(others):
            continue
        sentence = (
            f"Column '{name}' holds {value:.0f} in {number:,} training rows, far from its other "
            f"numbers ({others.min():.12g} to {others.max():.12g}): read as a number. If it stands "
            "for a value that is not known, leave these cells empty."
        )
        findings.append(Finding("reading", "warning", (), sentence))
    return findings


def _say_identifier(name: str, kind: ColumnKind, column: Any, is_index: bool) -> str:
    """Return that a column is left out, with what it holds, and what to do if that is wrong."""
    option = "numeric" if kind == "numeric" else "categorical"
    keep = f"keep it with --{option} {name}"
    if is_index:
        return (
            f"Left out column '{name}': it numbers the rows, as the index of a DataFrame does "
            f"({keep})."
        )
    head = column.drop_null().slice(0, HEAD_ROWS).to_pylist()
    cells = [f"{v:.12g}" if isinstance(v, float) else str(v) for v in head[:SHOWN]]
    shown = f" such as {quoted(cells)}"
    lead = f"Left out column '{name}': every row has its own value{shown}, as an identifier has"
    if look_like_dates(column):
        dates = f"though they look like dates; --date {name} reads them as dates, or"
        return f"{lead} ({dates} {keep})."
    words = [value for value in head if isinstance(value, str)]
    if words and sum(map(is_like_an_amount, words)) >= MOSTLY * len(words):
        return (
            f"{lead}. If these are amounts, in a form of numbers that is not known: write the "
            f"numbers alone into the column, one a cell ({keep}, as names)."
        )
    return f"{lead} ({keep})."


def _num_values(column: Any) -> int:
    """Return how many values a column has, missing as one; right at least up to two."""
    import pyarrow.compute as pc

    head = column.slice(0, HEAD_ROWS)  # what differs mostly does so from the first
    number = int(pc.count_distinct(head, mode="all").as_py())
    return number if number > 1 else int(pc.count_distinct(column, mode="all").as_py())


def is_identifier(name: str, kind: ColumnKind, column: Any) -> bool:
    """Return whether a column numbers or names the rows, each with a value of its own."""
    present = column.drop_null() if column.null_count else column
    number = len(present)
    if _is_index(name, kind, column):
        return True
    if number < MIN_ROWS or kind not in ("numeric", "categorical"):
        return False
    if kind == "categorical":
        head = present.slice(0, number // HEAD_PART)  # what repeats there cannot be made good
        repeated = len(head) - count_different(head)
        if number - repeated < DISTINCT_SHARE * number:
            return False
        return count_different(present) >= DISTINCT_SHARE * number
    values = present.to_numpy()
    for part in (values[:HEAD_ROWS], values):
        if (part != np.floor(part)).any() or len(np.unique(part)) < len(part):
            return False
    if ID_NAME.fullmatch(name) or ID_NAME_CASED.fullmatch(name):
        return True
    return bool(number >= MIN_RUN_ROWS and np.ptp(values) + 1 <= RUN_SPAN * number)


def _is_index(name: str, kind: ColumnKind, column: Any) -> bool:
    """Return whether a column bears an index's name and holds whole numbers."""
    if INDEX_NAME.fullmatch(name) is None or kind != "numeric":
        return False
    values = column.drop_null().to_numpy()
    if name.startswith("__"):
        return True
    return bool((values == np.floor(values)).all() and len(np.unique(values)) > len(values) / 2)


def _missing_cells(numbers: dict[str, int], num_rows: int) -> list[Finding]:
    counts = {name: number for name, number in numbers.items() if number}
    if not counts:
        return []
    most = sorted(counts, key=lambda name: -counts[name])
    shown = ", ".join(f"'{n}' {counts[n]:,} ({counts[n] / num_rows:.1%})" for n in most[:LISTED])
    more = f" and {len(most) - LISTED} more columns" if len(most) > LISTED else ""
    sentence = (
        f"Missing cells in the {num_rows:,} training rows: {shown}{more}. A missing number counts "
        "as the median of train, with a mark beside it; a missing category is one of its own."
    )
    return [Finding("missing", "note", (), sentence)]


def _leaks(records: Records, samples: TableSamples, train: np.ndarray) -> list[Finding]:
    columns = samples.column_names
    problems = records.asks.plain_problems(records.targets[train], len(records.classes))
    if len(columns) < 2 or len(train) < MIN_ROWS or len(problems) != 1:
        return []  # a lone column is what there is to learn from
    train_targets, is_number = problems[0].targets, problems[0].num_classes == 0
    chosen = np.arange(len(train))
    if len(chosen) > MAX_CHECKED_ROWS:
        chosen = np.linspace(0, len(train) - 1, MAX_CHECKED_ROWS).astype(np.int64)
    # Every second row of the order of targets, so that both halves hold all of them.
    chosen = chosen[np.argsort(train_targets[chosen], kind="stable")]
    targets = train_targets[chosen]
    found = []
    for name in columns:
        kind = (records.column_kinds or {})[name]
        values = samples.column(name, train[chosen])
        guess = _guess_words if kind == "categorical" else _guess_numbers
        guessed = guess(values, targets, is_number)
        if _fit_of(guessed, targets[1::2], is_number) >= ALMOST_PERFECT:
            found.append(name)
    target = f"'{records.label}'" if records.label else "the target"
    sentences = [
        f"Column '{name}' alone predicts {target} almost perfectly. If it is not known when the "
        f"model is used, it leaks the answer: leave it out with --drop {name}."
        for name in found
    ]
    return [Finding("leak", "warning", (), sentence) for sentence in sentences]


def _guess_numbers(values: Any, targets: np.ndarray, is_number: bool) -> np.ndarray:
    """Return what a small tree on one column says of every second row."""
    import pyarrow as pa
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    cells = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    is_learned = np.arange(len(cells)) % 2 == 0
    num_classes = 0 if is_number else int(targets.max()) + 1
    if binned_fit(cells, targets, num_classes, is_learned) < HOPELESS:
        return np.full(len(targets) // 2, np.nan)
    numbers = np.nan_to_num(cells, nan=-1e30).astype(np.float32).reshape(-1, 1)
    if is_number:
        tree = DecisionTreeRegressor(max_leaf_nodes=64, random_state=0)
    else:
        num_leaves = max(2, 2 * len(np.unique(targets)))
        tree = DecisionTreeClassifier(max_leaf_nodes=num_leaves, random_state=0)
    with warnings.catch_warnings():
        # of very many classes scikit-learn asks whether they are numbers: that is asked elsewhere
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        guessed: np.ndarray = tree.fit(numbers[::2], targets[::2]).predict(numbers[1::2])
    return guessed


def _guess_words(values: Any, targets: np.ndarray, is_number: bool) -> np.ndarray:
    """Return, for every second row, the usual target of its word in the others; NaN if unseen."""
    words: Sequence[str | None] = values.to_pylist()
    known: dict[str | None, list[float]] = {}
    for word, target in zip(words[::2], targets[::2].tolist(), strict=True):
        known.setdefault(word, []).append(target)
    if is_number:
        usual = {word: float(np.mean(seen)) for word, seen in known.items()}
    else:
        usual = {word: max(set(seen), key=seen.count) for word, seen in known.items()}
    return np.array([usual.get(word, np.nan) for word in words[1::2]])


def _fit_of(guessed: np.ndarray, targets: np.ndarray, is_number: bool) -> float:
    """Return R² or balanced accuracy of the rows with a guess; 0 where these are too few."""
    is_guessed = ~np.isnan(guessed)
    if is_guessed.mean() < MIN_GUESSED:
        return 0.0
    guessed, targets = guessed[is_guessed], targets[is_guessed]
    if is_number:
        spread = float(((targets - targets.mean()) ** 2).sum())
        return 1 - float(((targets - guessed) ** 2).sum()) / spread if spread > 0 else 0.0
    shares = [float((guessed[targets == c] == c).mean()) for c in np.unique(targets)]
    return float(np.mean(shares)) if len(shares) > 1 else 0.0
