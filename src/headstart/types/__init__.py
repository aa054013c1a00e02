"""The nouns: frozen records that the rooms hand to one another, and the tensor legend.

Tensor legend: B batch, C channels, H height, W width, T tokens, D features, K classes.
Nothing here computes (``Ragged`` only finds its rows) or touches the disk; floor 1 imports nothing
of headstart but errors and the way to names that wait.
"""

from typing import TYPE_CHECKING

from headstart.lazily import names_from
from headstart.types.conversations import ANSWERER, USER, Conversation
from headstart.types.data import (
    ROWS,
    BadSample,
    Data,
    Dataset,
    Identified,
    Samples,
    Schema,
    Split,
    SplitName,
    TaskName,
)
from headstart.types.deciding import PLAINLY, Deciding
from headstart.types.documents import Stretch
from headstart.types.figures import (
    Comparison,
    Figure,
    Measure,
    Prediction,
    Predictions,
    Span,
)
from headstart.types.findings import (
    Finding,
    FindingKind,
    Severity,
    in_number,
)
from headstart.types.inputs import Inputs, PlainInputs, elements_of
from headstart.types.modalities import (
    MODALITIES,
    Modality,
    ModalityFacts,
    OfModality,
    are_alike,
    is_among,
    rows_of,
)
from headstart.types.preprocessing import (
    CUT_MOST,
    Column,
    ColumnKind,
    DateFormat,
    Framing,
    GreyLevels,
    ImageSpec,
    NumberFormat,
    NumberStyle,
    TableSpec,
)
from headstart.types.sentences import Sentence, TextPair, are_pairs
from headstart.types.starts import (
    GROWN,
    SOLVED,
    WRITING,
    Family,
    Start,
)

if TYPE_CHECKING:
    from headstart.types.ragged import Gathered, Ragged, Rows

__all__ = [
    "ANSWERER",
    "CUT_MOST",
    "GROWN",
    "MODALITIES",
    "PLAINLY",
    "ROWS",
    "SOLVED",
    "USER",
    "WRITING",
    "BadSample",
    "Column",
    "ColumnKind",
    "Comparison",
    "Conversation",
    "Data",
    "Dataset",
    "DateFormat",
    "Deciding",
    "Family",
    "Figure",
    "Finding",
    "FindingKind",
    "Framing",
    "Gathered",
    "GreyLevels",
    "Identified",
    "ImageSpec",
    "Inputs",
    "Measure",
    "Modality",
    "ModalityFacts",
    "NumberFormat",
    "NumberStyle",
    "OfModality",
    "PlainInputs",
    "Prediction",
    "Predictions",
    "Ragged",
    "Rows",
    "Samples",
    "Schema",
    "Sentence",
    "Severity",
    "Span",
    "Split",
    "SplitName",
    "Start",
    "Stretch",
    "TableSpec",
    "TaskName",
    "TextPair",
    "are_alike",
    "are_pairs",
    "elements_of",
    "in_number",
    "is_among",
    "rows_of",
]


# what needs NumPy is imported when it is first used, so that no help waits for it
__getattr__ = names_from(
    __name__, dict.fromkeys(("Gathered", "Ragged", "Rows"), "headstart.types.ragged")
)
