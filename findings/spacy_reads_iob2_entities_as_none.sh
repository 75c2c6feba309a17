#!/bin/sh
# spaCy 3.8.18: Example.from_dict takes tags in IOB2 and makes of them a sentence without any entity.
#
# Guess: {"entities": ["B-PER", "I-PER", "O", ...]} is read, as spaCy's own converters read CoNLL files in IOB2; or it is
# refused, since the tags are not in spaCy's own scheme (BILUO), as E- and an opening I- are refused.
# Behaviour: entities that end in I- or B- are not closed for BILUO, and every token becomes O: no entity, no error, no
# warning. The same entities in BILUO are read.
# Why it matters here: predictions and corpora of this field are mostly in IOB2. A model trained or scored on such examples
# learns that there are no entities; tags have to be rewritten first (spacy.training.iob_to_biluo).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check spacy==3.8.18
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import spacy
from spacy.tokens import Doc
from spacy.training import Example, iob_to_biluo

vocab = spacy.blank("en").vocab
words = ["Anna", "Holm", "lives", "in", "Oslo"]
iob2 = ["B-PER", "I-PER", "O", "O", "B-LOC"]


def entities(tags):
    return [(entity.text, entity.label_) for entity in Example.from_dict(Doc(vocab, words=words), {"entities": tags}).y.ents]


with warnings.catch_warnings(record=True) as raised:
    warnings.simplefilter("always")
    read = entities(iob2)
print("IOB2   ", iob2, "->", read, f"({len(raised)} warnings)")
print("BILUO  ", iob_to_biluo(iob2), "->", entities(iob_to_biluo(iob2)))
assert read == [] and not raised, "the behaviour has changed"
assert entities(iob_to_biluo(iob2)) == [("Anna Holm", "PER"), ("Oslo", "LOC")], "the behaviour has changed"
PYTHON
