"""How good is it: figures with intervals, paired verdicts, calibration, and the floor to beat."""

from headstart.evaluation.baseline import majority_baseline
from headstart.evaluation.calibration import fit_temperature, softmax
from headstart.evaluation.comparison import compare
from headstart.evaluation.scores import (
    ClassScores,
    Scores,
    accuracy,
    comparison_to_json,
    figure_to_json,
    score,
)

__all__ = [
    "ClassScores",
    "Scores",
    "accuracy",
    "compare",
    "comparison_to_json",
    "figure_to_json",
    "fit_temperature",
    "majority_baseline",
    "score",
    "softmax",
]
