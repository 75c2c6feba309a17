#!/usr/bin/env bash
# Runs the study chars_by_decoder as any Hydra multirun, two jobs at once; the same as `ner-lab sweep chars_by_decoder`.
#
#   sweeps/chars_by_decoder.sh [OVERRIDE...]
#   sweeps/chars_by_decoder.sh 'seed=range(1,11)' decoder=softmax,crf,crf_pairwise logger=none
#
# Runs lie in outputs/chars_by_decoder/; called again, it leaves finished ones alone.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

ner-lab train -m --config-dir "$here" --config-name chars_by_decoder hydra.launcher.n_jobs=2 "$@"
