#!/bin/sh
# statsmodels 0.14.5: a p-value that is NaN takes the others with it, or is counted as one more comparison.
#
# Guess: multipletests() leaves out a comparison whose p-value could not be computed (NaN), or refuses it, as scipy's
# false_discovery_control does.
# Behaviour: with methods that step up (fdr_bh, fdr_by, simes-hochberg, hommel) every corrected p is NaN, also those of the
# valid comparisons. With bonferroni, sidak and holm the NaN stays NaN, and the others are corrected for it as well: the
# same two p-values come out larger than without it.
# Why it matters here: a study in which one configuration has a single seed, or equal scores in all seeds, has no p there.
# Then the table is empty of significance under one method and too cautious under another, and nothing says so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check statsmodels==0.14.5 scipy==1.16.3
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

known = [0.001, 0.02]
for method in ("fdr_bh", "fdr_by", "simes-hochberg", "hommel", "bonferroni", "sidak", "holm"):
    alone = multipletests(known, method=method)[1]
    beside = multipletests([*known, float("nan")], method=method)[1]
    print(f"{method:15} alone {alone.round(5)}   beside a NaN {beside.round(5)}")
    if method in ("bonferroni", "sidak", "holm"):
        assert (beside[:2] > alone).all() and np.isnan(beside[2]), "the behaviour has changed"
    else:
        assert np.isnan(beside).all(), "the behaviour has changed"
try:
    print("scipy", false_discovery_control([*known, float("nan")]))
except ValueError as error:
    print("scipy refuses it:", error)
else:
    raise AssertionError("the behaviour has changed")
PYTHON
