"""The nouns: frozen records that the rooms hand to one another, and the tensor legend.

Tensor legend: B batch, C channels, H height, W width, T tokens, D features, K classes.
Nothing here computes or touches the disk; floor 1 imports nothing of headstart but errors.
"""

from headstart.types.data import (
    BadSample,
    Data,
    Dataset,
    Inputs,
    Modality,
    Samples,
    Schema,
    Split,
    SplitName,
    Task,
)
from headstart.types.figures import (
    Comparison,
    Figure,
    Prediction,
)
from headstart.types.preprocessing import (
    Column,
    ColumnKind,
    DateFormat,
    ImageSpec,
    Spec,
    TableSpec,
    TextSpec,
    Tokenizer,
    Vectorizer,
)
from headstart.types.starts import (
    Family,
    Start,
)

__all__ = [
    "BadSample",
    "Column",
    "ColumnKind",
    "Comparison",
    "Data",
    "Dataset",
    "DateFormat",
    "Family",
    "Figure",
    "ImageSpec",
    "Inputs",
    "Modality",
    "Prediction",
    "Samples",
    "Schema",
    "Spec",
    "Split",
    "SplitName",
    "Start",
    "TableSpec",
    "Task",
    "TextSpec",
    "Tokenizer",
    "Vectorizer",
]
