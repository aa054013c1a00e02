"""The figures that tags of words are told by, and the words that go with them."""

from __future__ import annotations

from headstart.tasks.words import Pairing, TaskWords
from headstart.types import Measure

WORDS = TaskWords(
    told="a tag for each word",
    one="tag",
    several="tags",
    pairing=Pairing(
        "Gained: texts that only the second has right in every tag; lost: texts that only the "
        "first has; p: McNemar, exact, on whole texts.",
        difference="difference in exact match",
        figure="exact_match",
    ),
    mistakes_lead=(
        "Test texts with most words wrong; entities by the numbers of their words. Look for wrong "
        "tags among them."
    ),
)
_OF_WORDS = {
    "accuracy": Measure("accuracy", "share of words with the right tag", unit="percent"),
    "exact_match": Measure("exact match", "share of texts with every tag right"),
    "log_loss": Measure("log loss", "lower is better; a word; punishes confident mistakes", False),
}
OF_ENTITIES = {
    "f1_entities": Measure("F1 (entities)", "balance of precision and recall, strict"),
    "precision_entities": Measure(
        "precision (entities)", "share of the entities given that are right"
    ),
    "recall_entities": Measure("recall (entities)", "share of the true entities that are given"),
    "f1_macro": Measure("F1 (macro)", "mean F1 of the types, rare ones counting the same"),
    **_OF_WORDS,
}
OF_TAGS = {
    "accuracy": _OF_WORDS["accuracy"],
    "f1_macro": Measure("F1 (macro)", "mean F1 of the tags, rare ones counting the same"),
    "exact_match": _OF_WORDS["exact_match"],
    "log_loss": _OF_WORDS["log_loss"],
}
