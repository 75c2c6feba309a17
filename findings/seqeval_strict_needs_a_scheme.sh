#!/bin/sh
# seqeval 1.2.2: mode="strict" without scheme= changes nothing.
#
# Guess: f1_score(gold, predicted, mode="strict") counts only entities that follow their tag scheme.
# Behaviour: strict mode is entered only when scheme= is given as well. With mode alone, the lenient default is used, and
# no warning says so; with scheme alone, the scheme is ignored in the same way.
# Why it matters here: a table that says "strict" may hold lenient figures. An improper sequence (I- after O) counts as
# correct in the one and not in the other, so two papers' strict F1 may not be comparable.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check seqeval==1.2.2 scikit-learn==1.7.2 setuptools
"$folder/venv/bin/python" - <<'PYTHON'
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

gold = [["B-PER", "I-PER", "O", "B-LOC"]]
predicted = [["I-PER", "I-PER", "O", "B-LOC"]]  # the first entity opens with I-: improper in IOB2
figures = {
    "default": f1_score(gold, predicted),
    "mode='strict'": f1_score(gold, predicted, mode="strict"),
    "scheme=IOB2": f1_score(gold, predicted, scheme=IOB2),
    "mode='strict', scheme=IOB2": f1_score(gold, predicted, mode="strict", scheme=IOB2),
}
for arguments, f1 in figures.items():
    print(f"{arguments:28} F1 {100 * f1:.2f}")
assert [round(f1, 4) for f1 in figures.values()] == [1.0, 1.0, 1.0, 0.6667], "the behaviour has changed"
PYTHON
