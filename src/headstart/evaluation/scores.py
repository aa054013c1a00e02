"""All figures of one model on one split, each with a 95 % interval: the door to three tasks.

The figures of a classification are computed in ``class_scores.py``, of several labels an item in
``label_scores.py``, of numbers in ``value_scores.py``.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.class_scores import score_classes
from headstart.evaluation.intervals import MIN_RESAMPLES
from headstart.evaluation.label_scores import score_labels
from headstart.evaluation.records import Scores
from headstart.evaluation.value_scores import score_values
from headstart.types import Schema

NUM_RESAMPLES = 1000


def score(
    outputs: np.ndarray,
    targets: np.ndarray,
    schema: Schema,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Scores:
    """Measure what a model gives (``outputs_of``) against targets.

    Classification: ``accuracy``; ``precision_macro``, ``recall_macro`` and ``f1_macro``, means over
    the classes that occur among targets or predictions, 0 / 0 counting as 0 (both as
    scikit-learn); ``roc_auc``, one class against the rest, mean over the classes that occur among
    the targets, NaN if fewer than two do; ``log_loss``, mean -log p(target), p at least 2.2e-16;
    ``brier``, mean of the *sum* over classes of (p - one-hot)^2, in [0, 2], so that two classes
    give twice the binary form; ``ece``, expected calibration error of the top class, 15 bins of
    equal width.

    Multi-label, a label predicted where p >= 0.5: ``exact_match``, the share of items with every
    label right; ``hamming_loss``, the share of wrong decisions; precision, recall and F1 ``_micro``
    (over all decisions) and ``_macro`` (mean over the labels that occur among targets or
    predictions); ``roc_auc`` and ``average_precision``, means over the labels that some items have
    and others lack; ``log_loss`` and ``brier``, means over items *and* labels, the latter in
    [0, 1].

    Regression, in the units of the targets: ``rmse``, ``mse``, ``mae``, ``r2`` (NaN where all
    targets are equal), ``median_absolute_error``, and ``bias``, mean of prediction - target.

    A resample without a class leaves that class out by the same rules. Time grows with
    N K num_resamples; beyond 4e9 of these, ROC-AUC and average precision take fewer resamples (at
    least 200).

    Args:
        outputs: Classification: probabilities, shape (N, K), N at least 1, rows summing to 1.
            Multi-label: probabilities, shape (N, K). Regression: values, shape (N,).
        targets: As in ``Split``: integers in [0, K), shape (N,); 0 or 1, shape (N, K); or numbers,
            shape (N,).
        schema: Task and class names, which must all differ.
        seed: Seed of the bootstrap.
        num_resamples: Bootstrap resamples, at least 40; or 0 for no bootstrap, which leaves NaN at
            the ends of every bootstrapped interval.

    Returns:
        Figures, scores per class, and by task the confusion matrix or residuals.

    Raises:
        OptionError: A shape, an output, a target, the class names or ``num_resamples`` is not
            as described.

    Source:
        ECE: C. Guo et al., 2017, On Calibration of Modern Neural Networks, equation 3. Brier:
        G. W. Brier, 1950, Monthly Weather Review 78, 1-3, equation 2.

    Example:
        >>> import numpy as np
        >>> from headstart.types import Schema
        >>> schema = Schema("image", "classification", ("cat", "dog"))
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> scores = score(probabilities, np.array([0, 1, 1, 1]), schema)
        >>> scores.figures["accuracy"].value, scores.per_class["dog"].support
        (0.75, 3)
    """
    if num_resamples != 0 and num_resamples < MIN_RESAMPLES:
        raise OptionError(
            f"num_resamples is {num_resamples}, expected at least {MIN_RESAMPLES} (fewer have no "
            "2.5 % quantile), or 0 for no bootstrap."
        )
    if schema.task == "regression":
        return score_values(outputs, targets, seed=seed, num_resamples=num_resamples)
    measure = score_labels if schema.task == "multi-label" else score_classes
    return measure(outputs, targets, schema.classes, seed=seed, num_resamples=num_resamples)
