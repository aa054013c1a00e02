#!/bin/sh
# Naming a tagging scheme does not change seqeval's score; only mode="strict" beside it does.
#
# Versions: seqeval 1.2.2 (Python 3.11, Linux).
# What one would guess: f1_score(..., scheme=IOB2) reads the tags by IOB2, where an entity begins
# with B-, and so does not count one that begins with I-.
# What it does: without mode="strict" the argument is taken and not looked at. The default reading
# lets an entity begin with I-, so that answers which break the scheme count as right. No warning.
# Who meets it: who reports entity F1 "by IOB2" for a tagger that often opens an entity with I-: the
# figure is that of the lenient reading.
#
# Seen on 2026-11-30, two entities of which one is opened by I-:
#   no scheme 1.000, scheme=IOB2 1.000, scheme=IOB2 and mode="strict" 0.667
#
# Ends with 0 where all this is still so, with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install -q seqeval==1.2.2
"$folder/env/bin/python" - <<'PYTHON'
import sys

from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

true = [["B-PER", "I-PER", "O", "B-LOC"]]
answered = [["I-PER", "I-PER", "O", "B-LOC"]]
shown = [
    f"{f1_score(true, answered, **said):.3f}"
    for said in ({}, {"scheme": IOB2}, {"scheme": IOB2, "mode": "strict"})
]
print("no scheme {}, scheme=IOB2 {}, scheme=IOB2 and strict {}".format(*shown))
if shown == ["1.000", "1.000", "0.667"]:
    print("as described")
else:
    print("changed: this finding needs another look")
    sys.exit(1)
PYTHON
