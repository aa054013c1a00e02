"""Statistics that know no task: figures with intervals, paired verdicts, calibration, baselines.

Everything takes arrays and returns records; which of it a task is measured by is said in ``tasks``.
"""

from headstart.evaluation.baseline import (
    frequent_labels_baseline,
    majority_baseline,
    mean_baseline,
)
from headstart.evaluation.calibration import (
    fit_label_temperature,
    fit_temperature,
    fold_temperatures,
    sigmoid,
    softmax,
)
from headstart.evaluation.class_scores import accuracy, score_classes
from headstart.evaluation.comparison import compare_classes, compare_labels, compare_values
from headstart.evaluation.entities import (
    TagSet,
    decode,
    entities_of,
    entity_f1,
    over_all_entities,
    score_entities,
)
from headstart.evaluation.intervals import NUM_RESAMPLES
from headstart.evaluation.label_scores import f1_micro, score_labels
from headstart.evaluation.paired import (
    ItemSums,
    class_sums,
    holm,
    label_sums,
    mid_p_value,
    resample_together,
    value_sums,
)
from headstart.evaluation.records import ClassScores, Scores, comparison_to_json, figure_to_json
from headstart.evaluation.validation import (
    accuracy_and_error,
    f1_micro_and_error,
    r2_and_error,
)
from headstart.evaluation.value_scores import rmse, score_values

__all__ = [
    "NUM_RESAMPLES",
    "ClassScores",
    "ItemSums",
    "Scores",
    "TagSet",
    "accuracy",
    "accuracy_and_error",
    "class_sums",
    "compare_classes",
    "compare_labels",
    "compare_values",
    "comparison_to_json",
    "decode",
    "entities_of",
    "entity_f1",
    "f1_micro",
    "f1_micro_and_error",
    "figure_to_json",
    "fit_label_temperature",
    "fit_temperature",
    "fold_temperatures",
    "frequent_labels_baseline",
    "holm",
    "label_sums",
    "majority_baseline",
    "mean_baseline",
    "mid_p_value",
    "over_all_entities",
    "r2_and_error",
    "resample_together",
    "rmse",
    "score_classes",
    "score_entities",
    "score_labels",
    "score_values",
    "sigmoid",
    "softmax",
    "value_sums",
]
