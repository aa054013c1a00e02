"""A text for a text: translating, summarising, rewriting. Judged by BLEU and chrF."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.tasks.told_texts import TextTask
from headstart.tasks.words import Pairing, TaskWords
from headstart.types import Measure


@dataclass(frozen=True, eq=False, kw_only=True)
class SequenceTask(TextTask):
    """What an encoder–decoder writes of a text that it reads."""


SEQ2SEQ = SequenceTask(
    name="seq2seq",
    figures={
        "bleu": Measure("BLEU", "n-grams shared with the reference, 0 to 100; sacrebleu's"),
        "chrf": Measure("chrF", "characters shared with the reference, 0 to 100; sacrebleu's"),
        "exact_match": Measure("exact match", "share of texts written as the reference is"),
        "token_accuracy": Measure(
            "token accuracy", "share of the reference's tokens told right after those before"
        ),
        "perplexity": Measure("perplexity", "lower is better; a token; 1 is certainty", False),
        "log_loss": Measure("log loss", "lower is better; a token of the reference", False),
    },
    headline="bleu",
    validation_metric="bleu",
    item_loss="log loss a token",
    probe="logistic",
    head="own",
    written_as="sequences",
    plain_start="scratch/seq2seq-tiny",
    hub_task="text2text-generation",
    stratified="at random",
    is_smoothed=True,
    words=TaskWords(
        told="a text to write",
        mistakes="Farthest from the reference",
        mistakes_lead=(
            "Test texts whose answer shares least with the reference (chrF). Look for wrong "
            "references among them."
        ),
        loss_note="Loss: log loss of the reference's tokens, each told from those before it.",
        pairing=Pairing(
            "Gained: texts whose own chrF is higher by the second; lost: lower; the difference is "
            "that of BLEU; p: bootstrap of sentences in pairs (Koehn 2004).",
            counts="nearer on {gained}, farther on {lost}",
            brief="nearer on {gained}, farther on {lost}",
            difference="difference in BLEU",
            figure="bleu",
            tests_difference=True,
        ),
    ),
)
