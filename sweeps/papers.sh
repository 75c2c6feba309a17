#!/usr/bin/env bash
# Trains the four papers' models with several seeds, one run after another; a run that fails does not stop the others.
#
#   sweeps/papers.sh [OVERRIDE...]
#   SEEDS="1 2 3" PAPERS="ma_hovy2016 lample2016" sweeps/papers.sh data.dir=conll2003/ logger=none
#
# Plain shell is enough for a few runs. `ner-lab sweep four_papers` resumes where it was stopped, runs jobs side by side
# and can be reported.
set -euo pipefail
trap 'exit 130' INT   # Ctrl-C ends the loop, not one run alone

read -r -a papers <<< "${PAPERS:-huang2015 chiu_nichols2016 lample2016 ma_hovy2016}"
read -r -a seeds <<< "${SEEDS:-1 2 3 4 5}"

failed=()
for paper in "${papers[@]}"; do
  for seed in "${seeds[@]}"; do
    ner-lab train "paper=$paper" "seed=$seed" "$@" || failed+=("$paper seed=$seed")
  done
done

if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
