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
    no_surer,
    sigmoid,
    softmax,
)
from headstart.evaluation.class_scores import accuracy, score_classes
from headstart.evaluation.clusters import Groups, as_groups
from headstart.evaluation.comparison import compare_classes, compare_labels, compare_values
from headstart.evaluation.conformal import (
    class_misfits,
    conformal_bound,
    coverage_range,
    label_set_misfits,
)
from headstart.evaluation.costs import (
    CostMatrix,
    cost_difference,
    expected_costs,
    mean_cost,
    parse_costs,
)
from headstart.evaluation.curves import (
    lift_points,
    precision_recall_points,
    rank_items,
    roc_points,
    thinned,
)
from headstart.evaluation.entities import (
    TagSet,
    decode,
    entities_of,
    entity_f1,
    over_all_entities,
    score_entities,
)
from headstart.evaluation.gaps import reliability
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
from headstart.evaluation.rejection import parse_rejection, tune_rejection
from headstart.evaluation.repeats import over_folds, over_seeds
from headstart.evaluation.shares import share_of
from headstart.evaluation.span_chances import span_chances, tune_power
from headstart.evaluation.thresholds import parse_goal, tune_threshold
from headstart.evaluation.translations import (
    TextCounts,
    bleu_and_error,
    compare_texts,
    count_texts,
    score_texts,
    token_figures,
)
from headstart.evaluation.validation import (
    accuracy_and_error,
    f1_micro_and_error,
    r2_and_error,
)
from headstart.evaluation.value_scores import rmse, score_values

__all__ = [
    "NUM_RESAMPLES",
    "ClassScores",
    "CostMatrix",
    "Groups",
    "ItemSums",
    "Scores",
    "TagSet",
    "TextCounts",
    "accuracy",
    "accuracy_and_error",
    "as_groups",
    "bleu_and_error",
    "class_misfits",
    "class_sums",
    "compare_classes",
    "compare_labels",
    "compare_texts",
    "compare_values",
    "comparison_to_json",
    "conformal_bound",
    "cost_difference",
    "count_texts",
    "coverage_range",
    "decode",
    "entities_of",
    "entity_f1",
    "expected_costs",
    "f1_micro",
    "f1_micro_and_error",
    "figure_to_json",
    "fit_label_temperature",
    "fit_temperature",
    "fold_temperatures",
    "frequent_labels_baseline",
    "holm",
    "label_set_misfits",
    "label_sums",
    "lift_points",
    "majority_baseline",
    "mean_baseline",
    "mean_cost",
    "mid_p_value",
    "no_surer",
    "over_all_entities",
    "over_folds",
    "over_seeds",
    "parse_costs",
    "parse_goal",
    "parse_rejection",
    "precision_recall_points",
    "r2_and_error",
    "rank_items",
    "reliability",
    "resample_together",
    "rmse",
    "roc_points",
    "score_classes",
    "score_entities",
    "score_labels",
    "score_texts",
    "score_values",
    "share_of",
    "sigmoid",
    "softmax",
    "span_chances",
    "thinned",
    "token_figures",
    "tune_power",
    "tune_rejection",
    "tune_threshold",
    "value_sums",
]
