"""What a test split holds is not learned from, nor what nearly is the same.

The main process looks for near copies and settles which training samples they are; every process
leaves out those.
"""

from __future__ import annotations

from headstart.data.dividing import without_train
from headstart.pretraining.objective import Corpus
from headstart.tuning.decisions import Decisions

NEAR_TEST = "near copies of test"  # the decision: ids of the training samples that are


def apart_from_test(corpus: Corpus, decisions: Decisions) -> Corpus:
    """Return a corpus without the training samples that were settled to be near copies of test.

    Args:
        corpus: As it was read.
        decisions: Of the run.

    Raises:
        DataError: If no sample would be left.
    """
    record = decisions.records.get(NEAR_TEST)
    if corpus.labelled is None or record is None or not record["value"]:
        return corpus
    return corpus.of(without_train(corpus.labelled, record["value"]))
