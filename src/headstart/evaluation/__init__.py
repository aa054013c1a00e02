"""How good is it: figures with intervals, paired verdicts, calibration, and the floor to beat."""

from headstart.evaluation.baseline import majority_baseline, naive_baseline
from headstart.evaluation.calibration import fit_temperature, sigmoid, softmax
from headstart.evaluation.class_scores import accuracy
from headstart.evaluation.comparison import compare
from headstart.evaluation.outputs import (
    headline,
    headline_figure,
    is_higher_better,
    outputs_of,
    predictions_of,
)
from headstart.evaluation.records import ClassScores, Scores, comparison_to_json, figure_to_json
from headstart.evaluation.scores import score

__all__ = [
    "ClassScores",
    "Scores",
    "accuracy",
    "compare",
    "comparison_to_json",
    "figure_to_json",
    "fit_temperature",
    "headline",
    "headline_figure",
    "is_higher_better",
    "majority_baseline",
    "naive_baseline",
    "outputs_of",
    "predictions_of",
    "score",
    "sigmoid",
    "softmax",
]
