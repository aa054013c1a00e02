"""Written texts: BLEU and chrF as sacrebleu has them, guards, intervals, paired comparison."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

sacrebleu = pytest.importorskip("sacrebleu")

from headstart.errors import OptionError  # noqa: E402
from headstart.evaluation.overlaps import (  # noqa: E402
    bleu_of,
    chrf_of,
    smooth_bleu,
    smooth_chrf,
)
from headstart.evaluation.translations import (  # noqa: E402
    bleu_and_error,
    compare_texts,
    count_texts,
    score_texts,
    token_figures,
    tokenizer_for,
)
from headstart.events import listen  # noqa: E402
from headstart.tasks import find_task  # noqa: E402

SAID = "der Hund , läuft . ein Mann schnell über die Straße 3.5 U.S. don't"
WORDS = SAID.split()


def _corpus(draw, most=30):
    num = draw.randint(1, most)
    said = [" ".join(draw.choices(WORDS, k=draw.randint(0, 9))) for _ in range(num)]
    wanted = [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(num)]
    return (wanted[:] if draw.random() < 0.2 else said), wanted


def test_figures_equal_sacrebleu_on_200_random_corpora():
    draw = random.Random(0)
    for _ in range(200):
        said, wanted = _corpus(draw)
        counts = count_texts(said, wanted)
        bleu = sacrebleu.BLEU(max_ngram_order=counts.num_orders).corpus_score(said, [wanted])
        chrf = sacrebleu.CHRF().corpus_score(said, [wanted])
        ours = [
            float(bleu_of(counts.bleu.sum(axis=1, keepdims=True), counts.num_orders)[0]),
            float(chrf_of(counts.chrf.sum(axis=1, keepdims=True))[0]),
        ]
        assert ours == pytest.approx([bleu.score, chrf.score], abs=1e-9)


def test_the_signature_is_sacrebleus():
    said, wanted = ["ein Hund rennt über die Straße"], ["ein Hund läuft über die Straße"]
    metrics = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF()}
    for name, metric in metrics.items():
        metric.corpus_score(said, [wanted])
        assert count_texts(said, wanted).signature[name] == str(metric.get_signature())


def test_a_flawless_corpus_without_a_four_gram_is_flawless():
    said = ["ja", "nein", "ein Hund"]
    assert sacrebleu.BLEU().corpus_score(said, [said]).score == 0  # what is guarded
    counts = count_texts(said, said)
    assert counts.num_orders == 2
    assert float(bleu_of(counts.bleu.sum(axis=1, keepdims=True), 2)[0]) == pytest.approx(100)
    assert counts.signature["bleu"].find("ngram:2") > 0


@pytest.mark.parametrize(
    ("said", "wanted", "words"),
    [
        (["a"], [["a", "b"]], "reference 1 is a list; expected one text"),
        ([None], ["a"], "text 1 is a NoneType"),
        (["a", "b"], ["a"], "2 texts for 1 references"),
        ([], [], "0 texts"),
    ],
)
def test_what_is_no_pair_of_texts_is_refused(said, wanted, words):
    with pytest.raises(OptionError, match=words):
        count_texts(said, wanted)


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["Der Hund läuft."], "13a"),
        (["一个男人在街上走路。"], "zh"),
        (["男の人が道を歩いています。"], "char"),
        (["한 남자가 거리를 걷고 있다."], "char"),
        (["..."], "13a"),
    ],
)
def test_the_tokenizer_is_that_of_the_references_language(texts, name):
    assert tokenizer_for(texts) == name


@pytest.mark.parametrize(
    ("texts", "language", "extra"),
    [
        (["男の人が道を歩いています。"], "Japanese", "ja"),
        (["한 남자가 거리를 걷고 있다."], "Korean", "ko"),
    ],
)
def test_that_mecab_is_missing_is_said_once(texts, language, extra):
    said = []
    with listen(lambda kind, fields: said.append(fields["text"])):
        for _ in range(2):
            assert count_texts(texts, texts).tokenizer == "char"
        count_texts(["Der Hund läuft."], ["Der Hund läuft."])
    (note,) = said
    assert note.startswith(f"The references are {language}, and MeCab is not installed")
    assert note.endswith(f"sacrebleu[{extra}].")


def test_chinese_is_cut_by_character():
    counts = count_texts(["一个男人走路"], ["一个男人走路"])
    assert counts.tokenizer == "zh"
    assert float(bleu_of(counts.bleu)[0]) == pytest.approx(100)


def test_gradients_are_how_far_bleu_and_chrf_move():
    draw = random.Random(7)
    for _ in range(60):
        said, wanted = _corpus(draw)
        counts = count_texts(said, wanted)
        for terms, smooth, figure in (
            (counts.bleu, smooth_bleu(len(said), counts.num_orders), "bleu"),
            (counts.chrf, smooth_chrf, "chrf"),
        ):
            means = np.concatenate(([[1.0]], terms.mean(axis=1, keepdims=True)))
            value, gradient = smooth(means)
            assert value[0] == pytest.approx(
                score_texts(counts, num_resamples=0).figures[figure].value
            )
            for place in np.flatnonzero(means[:, 0] > 0)[1:]:
                step = 1e-6 * means[place, 0]
                if figure == "bleu" and place <= 2 and means[1, 0] == means[2, 0]:
                    continue  # where the answer is as long as the reference BLEU has a kink
                ends = [means.copy(), means.copy()]
                ends[0][place] -= step
                ends[1][place] += step
                moved = (smooth(ends[1])[0] - smooth(ends[0])[0]) / (2 * step)
                assert gradient[place] == pytest.approx(moved, rel=1e-4, abs=1e-4), place


def test_intervals_resample_texts_or_their_groups():
    draw = random.Random(1)
    pairs = [_corpus(draw) for _ in range(20)]
    said, wanted = ([text for pair in pairs for text in pair[side]] for side in (0, 1))
    counts = count_texts(said, wanted)
    alone = score_texts(counts)
    assert alone.figures["bleu"].low < alone.figures["bleu"].value < alone.figures["bleu"].high
    # sacrebleu's own bootstrap reads percentiles, which are too narrow (benchmarks/coverage.py)
    other = sacrebleu.BLEU().corpus_score(said, [wanted], n_bootstrap=1000)
    width = alone.figures["bleu"].high - alone.figures["bleu"].low
    assert 0.9 < width / 2 / other._ci < 1.6
    groups = np.arange(len(said)) // 25
    together = score_texts(counts, groups=groups)
    assert together.num_groups == len(np.unique(groups))
    assert together.figures["bleu"].value == alone.figures["bleu"].value


def test_a_flawless_corpus_has_no_interval_that_means_anything():
    counts = count_texts(["ein Hund rennt schnell"] * 9, ["ein Hund rennt schnell"] * 9)
    figures = score_texts(counts).figures
    assert figures["bleu"].value == pytest.approx(100)
    assert math.isnan(figures["bleu"].low)
    assert figures["exact_match"].low > 0.6


def test_tokens_are_counted_over_the_whole_corpus():
    counts = count_texts(["a", "b"], ["a", "c"])
    tokens = {"loss": [1.0, 5.0], "num_tokens": [1, 9], "num_right": [1, 0]}
    figures = score_texts(counts, {n: np.array(v, float) for n, v in tokens.items()}).figures
    assert figures["log_loss"].value == pytest.approx(0.6)
    assert figures["perplexity"].value == pytest.approx(math.exp(0.6))
    assert figures["token_accuracy"].value == pytest.approx(0.1)
    assert token_figures(np.array([[0.0], [0.0], [0.0]]))["log_loss"] != 0  # unknown, and no error


def test_two_systems_are_compared_on_the_same_draws():
    draw = random.Random(2)
    wanted = [" ".join(draw.choices(WORDS, k=8)) for _ in range(150)]
    worse = [" ".join([*text.split()[:4], *["Hund"] * 4]) for text in wanted]
    better = [" ".join([*text.split()[:7], "Hund"]) for text in wanted]
    counts = {name: count_texts(texts, wanted) for name, texts in (("w", worse), ("b", better))}
    found = compare_texts("w", counts["w"], "b", counts["b"])
    assert found.gained > 100 > found.lost
    assert found.difference.low > 0
    assert found.p_value < 0.01
    same = compare_texts("w", counts["w"], "again", counts["w"])
    assert (same.gained, same.lost, same.p_value) == (0, 0, 1.0)
    score, error = bleu_and_error(counts["b"])
    assert 0 < error < score
    with pytest.raises(OptionError, match="wrote 150 texts and 'b' 1"):
        compare_texts("w", counts["w"], "b", count_texts(["a"], ["a"]))


def test_a_test_of_the_difference_itself_is_judged_by_its_sign():
    """BLEU may be higher, surely, though chrF is lower on more of the sentences."""
    pairing = find_task("seq2seq").words.pairing
    assert pairing.judge(0.001, 3, 17, (0.5, 0.7)) == "better"
    assert pairing.judge(0.03, 17, 3, (-18.9, 0.01)) == "worse"
    assert pairing.judge(0.2, 17, 3, (-0.1, 0.7)) == "open"
