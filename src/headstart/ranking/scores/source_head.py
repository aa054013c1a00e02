"""What the classes that a start was pretrained on say of the classes it is to learn."""

from __future__ import annotations

import numpy as np


def leep(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean log likelihood of the expected empirical predictor, in nats, at most 0.

    Args:
        probabilities: Of the source's classes, shape (N, S), rows sum to 1.
        targets: Classes, whole numbers, shape (N,).

    Source:
        Nguyen et al. 2020, ICML, "LEEP", eq. 1 and 2.
    """
    given = np.eye(int(targets.max()) + 1)[targets]
    joint = given.T @ probabilities / len(targets)  # (C, S)
    source = joint.sum(axis=0)
    conditional = np.divide(joint, source, out=np.zeros_like(joint), where=source > 0)
    expected = (probabilities @ conditional.T)[np.arange(len(targets)), targets]
    return float(np.log(expected).mean())


def nce(source_classes: np.ndarray, targets: np.ndarray) -> float:
    """Return minus the entropy of the targets given the source's classes, in nats, at most 0.

    Args:
        source_classes: The most likely class of the source, whole numbers, shape (N,).
        targets: Classes, whole numbers, shape (N,).

    Source:
        Tran et al. 2019, ICCV, "Transferability and hardness of supervised classification tasks".
    """
    joint = np.zeros((int(source_classes.max()) + 1, int(targets.max()) + 1))
    np.add.at(joint, (source_classes, targets), 1 / len(targets))
    source = np.broadcast_to(joint.sum(axis=1, keepdims=True), joint.shape)
    met = joint > 0
    return float((joint[met] * np.log(joint[met] / source[met])).sum())
