#!/bin/sh
# BLEU of a flawless translation is 0 where no sentence has four words.
#
# Versions: sacrebleu 2.6.0 (Python 3.11, Linux).
# What one would guess: a corpus whose every answer equals its reference has BLEU 100; or, if a
# figure cannot be had, an error or nan.
# What it does: corpus_bleu multiplies the shares of matching one- to four-word groups; where the
# corpus holds no group of four words at all that share is counted as 0, and so is the whole. The
# printed precisions say "100.0/100.0/0.0/0.0". sentence_bleu of the same pair says 100, since it
# alone uses the longest group that there is (effective_order). chrF says 100.
# Who meets it: who validates a translation of short strings (labels, commands, titles) and chooses
# the best weights by BLEU: every model scores 0, the perfect one too.
#
# Seen on 2026-11-30:
#   corpus_bleu 0.0, sentence_bleu 100.0, corpus_chrf 100.0; with effective_order corpus_bleu 100.0
#
# Ends with 0 where all this is still so, with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install -q sacrebleu==2.6.0
"$folder/env/bin/python" - <<'PYTHON'
import sys

import sacrebleu

answers = ["Guten Morgen .", "Zwei Hunde .", "Danke sehr ."]
corpus = sacrebleu.corpus_bleu(answers, [answers]).score
sentence = sacrebleu.sentence_bleu(answers[0], [answers[0]]).score
chrf = sacrebleu.corpus_chrf(answers, [answers]).score
effective = sacrebleu.corpus_bleu(answers, [answers], use_effective_order=True).score
shown = [round(x, 1) for x in (corpus, sentence, chrf, effective)]
print("corpus_bleu {}, sentence_bleu {}, corpus_chrf {}, effective order {}".format(*shown))
if shown == [0.0, 100.0, 100.0, 100.0]:
    print("as described")
else:
    print("changed: this finding needs another look")
    sys.exit(1)
PYTHON
