"""The nouns: frozen records that the rooms hand to one another, and the tensor legend.

Tensor legend: B batch, C channels, H height, W width, T tokens, D features, K classes.
Nothing here computes (``Ragged`` only finds its rows) or touches the disk; floor 1 imports nothing
of headstart but errors.
"""

from headstart.types.data import (
    BadSample,
    Data,
    Dataset,
    Inputs,
    Samples,
    Schema,
    Split,
    SplitName,
    TaskName,
)
from headstart.types.figures import (
    Comparison,
    Figure,
    Measure,
    Prediction,
)
from headstart.types.findings import (
    Finding,
    FindingKind,
    Severity,
    in_number,
)
from headstart.types.modalities import (
    MODALITIES,
    Modality,
    ModalityFacts,
)
from headstart.types.preprocessing import (
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
from headstart.types.ragged import Ragged, Rows
from headstart.types.starts import (
    Family,
    Start,
)

__all__ = [
    "MODALITIES",
    "BadSample",
    "Column",
    "ColumnKind",
    "Comparison",
    "Data",
    "Dataset",
    "DateFormat",
    "Family",
    "Figure",
    "Finding",
    "FindingKind",
    "Framing",
    "GreyLevels",
    "ImageSpec",
    "Inputs",
    "Measure",
    "Modality",
    "ModalityFacts",
    "NumberFormat",
    "NumberStyle",
    "Prediction",
    "Ragged",
    "Rows",
    "Samples",
    "Schema",
    "Severity",
    "Split",
    "SplitName",
    "Start",
    "TableSpec",
    "TaskName",
    "in_number",
]
