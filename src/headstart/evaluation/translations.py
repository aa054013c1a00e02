"""Texts that were written, beside those that were wanted: BLEU, chrF, exact match, perplexity.

What a sentence adds to a figure is counted once (by sacrebleu, with its own tokenizers); every
figure, on all sentences, on each resample of them and on the same resamples of another system, is
then read off sums. So an interval costs a matrix product, and two systems are compared on the same
draws.

Two traps are guarded. Where the references hold no four words in a row, BLEU of four-grams is 0
however right everything is: it is then taken over those that there are, which the signature says.
And a sentence has one reference, a text: lists of them, of which sacrebleu would silently read the
first letters or the first alone, are refused.

Source:
    K. Papineni et al., ACL 2002; M. Popovic, WMT 2015; M. Post, WMT 2018 (sacrebleu); P. Koehn,
    EMNLP 2004, for resampling sentences in pairs.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.clusters import as_groups
from headstart.evaluation.intervals import (
    NUM_RESAMPLES,
    check_resamples,
)
from headstart.evaluation.means import (
    MOST_LOG,
    Smooth,
    raised,
    ratio_figure,
    studentised_interval,
    unit_sums,
    within,
)
from headstart.evaluation.overlaps import (
    BETA,
    CHAR_ORDERS,
    NUM_ORDERS,
    bleu_of,
    chrf_of,
    smooth_bleu,
    smooth_chrf,
)
from headstart.evaluation.paired import (
    NUM_PAIRED_RESAMPLES,
    ItemSums,
    Resampled,
    resample_together,
)
from headstart.evaluation.records import Scores
from headstart.evaluation.shares import share_of
from headstart.events import note_once
from headstart.extras import require_extra
from headstart.types import Comparison, Figure

_TOLD_SCRIPTS = 200  # references that tell which language they are in
_MOSTLY = 0.3  # of their letters


@dataclass(frozen=True)
class WordCutter:
    """What cuts texts of a language into words, where it is installed.

    Attributes:
        language: In English.
        modules: That must be there.
        extra: Of sacrebleu, which brings them.
    """

    language: str
    modules: tuple[str, ...]
    extra: str


_CHARACTERS = "char"
_MECAB = {
    "ja-mecab": WordCutter("Japanese", ("MeCab", "ipadic"), "sacrebleu[ja]"),
    "ko-mecab": WordCutter("Korean", ("mecab_ko",), "sacrebleu[ko]"),
}


@dataclass(frozen=True, eq=False)
class TextCounts:
    """What N written texts add to the figures.

    Attributes:
        bleu: float64, shape (10, N): lengths of answer and reference, of n-grams of one to four
            words those that are right, and all.
        chrf: float64, shape (18, N): of n-grams of one to six characters those of the answer, of
            the reference, and of both.
        exact: float64, shape (N,), 1 where nothing but blanks at the ends differs.
        tokenizer: What cut texts into words, by sacrebleu's name.
        num_orders: n-grams that BLEU counts: 4, but where no reference has so many words.
    """

    bleu: np.ndarray
    chrf: np.ndarray
    exact: np.ndarray
    tokenizer: str
    num_orders: int

    def __len__(self) -> int:
        return len(self.exact)

    @property
    def signature(self) -> dict[str, str]:
        """How both were counted, as sacrebleu writes it."""
        import sacrebleu

        order = "" if self.num_orders == NUM_ORDERS else f"|ngram:{self.num_orders}"
        version = sacrebleu.__version__
        return {
            "bleu": f"nrefs:1|case:mixed|eff:no|tok:{self.tokenizer}|smooth:exp{order}|"
            f"version:{version}",
            "chrf": f"nrefs:1|case:mixed|eff:yes|nc:{CHAR_ORDERS}|nw:0|space:no|version:{version}",
        }

    @cached_property
    def sentence_chrf(self) -> np.ndarray:
        """The chrF of each text alone, in [0, 100], shape (N,)."""
        return chrf_of(self.chrf)

    def sums(self, more: Mapping[str, np.ndarray] | None = None) -> ItemSums:
        """Return what each text adds to ``bleu``, ``chrf`` and ``exact_match``.

        Args:
            more: Of told tokens ``loss``, ``num_tokens`` and ``num_right``, shape (N,): then there
                are ``log_loss``, ``perplexity`` and ``token_accuracy``, too.
        """
        from scipy.sparse import csr_array

        rows = [np.ones(len(self)), self.exact, *self.bleu, *self.chrf]
        names = ("loss", "num_tokens", "num_right")
        rows += [np.asarray(more[name], np.float64) for name in names] if more else []
        figures = partial(self._figures, has_tokens=bool(more))
        return ItemSums(csr_array(np.stack(rows)), figures)

    def _figures(self, sums: np.ndarray, *, has_tokens: bool) -> dict[str, np.ndarray]:
        found = {
            "bleu": bleu_of(sums[2:12], self.num_orders),
            "chrf": chrf_of(sums[12:30]),
            "exact_match": sums[1] / sums[0],
        }
        return found | (token_figures(sums[30:33]) if has_tokens else {})


def token_figures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Return figures of tokens that were told one after the other.

    Args:
        sums: Shape (3, R): losses, tokens, and tokens that were the likeliest.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = sums[0] / sums[1]
        right = sums[2] / sums[1]
    return {
        "token_accuracy": right,
        "log_loss": loss,
        "perplexity": np.exp(np.minimum(loss, MOST_LOG)),
    }


def count_texts(
    said: Sequence[str], wanted: Sequence[str], *, tokenizer: str | None = None
) -> TextCounts:
    """Count what written texts and wanted ones have in common.

    Args:
        said: N texts, N at least 1.
        wanted: The reference of each.
        tokenizer: sacrebleu's name of one; None takes that of the references' language.

    Raises:
        OptionError: They are not as many, there are none, or one of them is no text.
        PackageMissing: If sacrebleu is not installed.

    Example:
        >>> counts = count_texts(["ein Hund rennt"], ["ein Hund rennt"])
        >>> counts.num_orders, round(float(bleu_of(counts.bleu, counts.num_orders)[0]))
        (3, 100)
    """
    _check_texts(said, wanted)
    require_extra("seq", "BLEU and chrF", "sacrebleu")
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    name = tokenizer or tokenizer_for(wanted)
    if tokenizer is None and name == _CHARACTERS:
        _say_characters(_script_of(wanted))
    bleu: Any = BLEU(tokenize=name, force=True)
    chrf: Any = CHRF(char_order=CHAR_ORDERS, word_order=0, beta=int(BETA))
    counted = [
        np.array(metric._extract_corpus_statistics(list(said), [list(wanted)]), np.float64).T
        for metric in (bleu, chrf)
    ]
    exact = [one.strip() == other.strip() for one, other in zip(said, wanted, strict=True)]
    longest = int(counted[0][1].max(initial=0))
    num_orders = max(1, min(NUM_ORDERS, longest))
    matched = np.array(exact, np.float64)
    return TextCounts(counted[0], counted[1], matched, name, num_orders)


def _check_texts(said: Sequence[str], wanted: Sequence[str]) -> None:
    if len(said) != len(wanted) or not len(wanted):
        raise OptionError(
            f"There are {len(said):,} texts for {len(wanted):,} references; expected as many, and "
            "at least one. Give one for each."
        )
    for what, texts in (("text", said), ("reference", wanted)):
        odd = next((place for place, text in enumerate(texts) if not isinstance(text, str)), None)
        if odd is not None:
            raise OptionError(
                f"The {what} {odd + 1} is a {type(texts[odd]).__name__}; expected one text. Of "
                "several references of a sentence give one, or a row for each."
            )


def tokenizer_for(texts: Sequence[str]) -> str:
    """Return sacrebleu's name of what cuts texts of their language into words.

    By the letters of some of them: ``zh`` of Chinese; of Japanese and Korean their own where MeCab
    is installed, else ``char``; ``13a`` of everything else.

    Args:
        texts: In one language.
    """
    script = _script_of(texts)
    if script not in _MECAB:
        return script
    is_there = all(find_spec(module) for module in _MECAB[script].modules)
    return script if is_there else _CHARACTERS


def _script_of(texts: Sequence[str]) -> str:
    """Return sacrebleu's name of what suits the language of texts, whatever is installed."""
    step = max(1, len(texts) // _TOLD_SCRIPTS)
    letters = [c for text in texts[::step] for c in text[:400] if c.isalpha()]
    kinds = {"CJK": 0, "HIRAGANA": 0, "KATAKANA": 0, "HANGUL": 0}
    for letter in letters:
        if ord(letter) > 0x2FF:
            word = unicodedata.name(letter, "").partition(" ")[0]
            if word in kinds:
                kinds[word] += 1
    kana = kinds["HIRAGANA"] + kinds["KATAKANA"]
    least = _MOSTLY * len(letters)
    if kinds["HANGUL"] > least:
        return "ko-mecab"
    if kinds["CJK"] + kana <= least or not letters:
        return "13a"
    return "ja-mecab" if kana > 0.1 * (kana + kinds["CJK"]) else "zh"


def _say_characters(script: str) -> None:
    """Say that characters are counted where words would be, and what cuts these."""
    cut = _MECAB[script]
    note_once(
        f"The references are {cut.language}, and MeCab is not installed: BLEU counts characters, "
        f"and is no BLEU of words, which sacrebleu cuts with its extra {cut.extra}."
    )


def score_texts(
    counts: TextCounts,
    tokens: Mapping[str, np.ndarray] | None = None,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
) -> Scores:
    """Measure written texts, every figure with its 95 % interval.

    Args:
        counts: Of N texts.
        tokens: As ``TextCounts.sums`` takes them.
        seed: Seed of the draws.
        num_resamples: At least 40, or 0 for no intervals.
        groups: Whole numbers, shape (N,), the same for texts that belong together.
    """
    check_resamples(num_resamples)
    num, told = len(counts), as_groups(groups, len(counts))
    how = {"num_resamples": num_resamples, "seed": seed}

    def interval(terms: np.ndarray, smooth: Smooth) -> Figure:
        found = studentised_interval(unit_sums(terms, told, seed), smooth, **how)
        return within(found, 0.0, 100.0)  # all right, or all wrong: unknown, as it was

    figures = {
        "bleu": interval(counts.bleu, smooth_bleu(num, counts.num_orders)),
        "chrf": interval(counts.chrf, smooth_chrf),
        "exact_match": share_of(counts.exact > 0, told),
    }
    if tokens:
        of_tokens = (np.asarray(tokens["num_tokens"], np.float64), told, seed, num_resamples)
        loss = ratio_figure(np.asarray(tokens["loss"], np.float64), *of_tokens)
        right = ratio_figure(np.asarray(tokens["num_right"], np.float64), *of_tokens)
        figures["token_accuracy"] = within(right, 0.0, 1.0)
        figures |= {"log_loss": loss, "perplexity": raised(loss)}
    num_groups = None if told is None else told.num
    return Scores(num, figures, num_groups=num_groups, signature=counts.signature)


def _resampled(
    sums: Sequence[ItemSums],
    num_items: int,
    seed: int,
    num_resamples: int,
    groups: np.ndarray | None,
) -> list[Resampled]:
    told = as_groups(groups, num_items)
    return resample_together(
        sums, num_items, groups=told, seed=seed, num_resamples=max(1, num_resamples)
    )


def bleu_and_error(counts: TextCounts, *, seed: int = 0) -> tuple[float, float]:
    """Return BLEU and its standard error over sentences.

    Args:
        counts: Of N texts.
        seed: Seed of the draws.
    """
    found = _resampled([counts.sums()], len(counts), seed, 200, None)[0]
    return found.values["bleu"], float(found.drawn["bleu"].std())


def compare_texts(
    before: str,
    first: TextCounts,
    after: str,
    second: TextCounts,
    *,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Comparison:
    """Compare two systems on the same sentences: paired bootstrap of BLEU.

    Args:
        before: Name of the first.
        first: What it wrote.
        after: Name of the second.
        second: The same of the second, of the same sentences in the same order.
        seed: Seed of the draws.
        groups: As for ``score_texts``: then whole groups are drawn.

    Returns:
        ``gained`` and ``lost`` count sentences whose own chrF is higher or lower; ``p_value`` is
        twice the share of draws in which BLEU does not differ the way that it does on all.

    Source:
        P. Koehn, EMNLP 2004, "Statistical Significance Tests for Machine Translation Evaluation".
    """
    if len(first) != len(second):
        raise OptionError(
            f"'{before}' wrote {len(first):,} texts and '{after}' {len(second):,}; expected those "
            "of the same sentences. Give both for each."
        )
    sums = [first.sums(), second.sums()]
    one, two = _resampled(sums, len(first), seed, NUM_PAIRED_RESAMPLES, groups)
    difference = one.difference(two, "bleu")
    changes = two.drawn["bleu"] - one.drawn["bleu"]
    against = min(int((changes <= 0).sum()), int((changes >= 0).sum()))
    p_value = min(1.0, 2.0 * (against + 1) / (len(changes) + 1))
    moved = second.sentence_chrf - first.sentence_chrf
    gained, lost = int((moved > 1e-9).sum()), int((moved < -1e-9).sum())
    return Comparison(before, after, gained, lost, difference, p_value, "bleu")
