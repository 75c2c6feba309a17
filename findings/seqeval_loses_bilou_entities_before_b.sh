#!/bin/sh
# seqeval 1.2.2: in its default mode, an entity that ends in L- or U- is lost when B- of the same type follows directly.
#
# Guess: the default mode reads BILOU as it reads IOBES: the two differ in two letters only.
# Behaviour: it does not know that L- and U- end an entity. Where the next entity of the same type follows directly, the
# first one is dropped from gold and prediction alike, so a perfect prediction still has F1 1.0 and only the number of
# entities tells. A warning says that the tags do not seem to be tags of named entities.
# Why it matters here: precision and recall of BILOU data are taken over another set of entities than those of the same
# data written in IOB2 or IOBES: figures of two schemes cannot be compared.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check seqeval==1.2.2 scikit-learn==1.7.2 setuptools
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from seqeval.metrics.sequence_labeling import get_entities

written = {
    "IOB2": ["B-LOC", "B-LOC", "I-LOC", "B-LOC", "I-LOC", "O"],
    "IOBES": ["S-LOC", "B-LOC", "E-LOC", "B-LOC", "E-LOC", "O"],
    "BILOU": ["U-LOC", "B-LOC", "L-LOC", "B-LOC", "L-LOC", "O"],
}
counts = {}
for scheme, tags in written.items():
    entities = get_entities(tags)
    counts[scheme] = len(entities)
    print(f"{scheme:6} {len(entities)} entities: {entities}")
assert counts["IOB2"] == counts["IOBES"] == 3, "the behaviour has changed"
assert counts["BILOU"] < 3, "the behaviour has changed"
PYTHON
