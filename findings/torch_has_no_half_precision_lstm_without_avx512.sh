#!/bin/sh
# torch 2.13.0: an LSTM under autocast to bfloat16 fails on an x86 processor without AVX-512; a linear layer does not.
#
# Guess: torch.autocast("cpu", torch.bfloat16), and with it Lightning's precision="bf16-mixed", runs everywhere: slowly
# where the processor has no instructions for it, as matrix products and convolutions do.
# Behaviour: nn.LSTM raises "could not create a primitive descriptor for the LSTM forward propagation primitive" at its
# first call; nn.GRU, nn.Linear and nn.Conv1d run, and so does the same LSTM when its weights and its input are converted to
# bfloat16 by hand, without autocast.
# Why it matters here: the message does not name precision or processor, and a test or a training that passes on one
# machine fails on another. The precision has to be tried on the processor before it is offered.
set -eu
if grep -q avx512bw /proc/cpuinfo; then
    echo "this processor has AVX-512: nothing to show"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn

inputs = torch.randn(2, 5, 4)
layers = {
    "Linear": lambda: nn.Linear(4, 3)(inputs),
    "Conv1d": lambda: nn.Conv1d(5, 3, 2)(inputs),
    "GRU": lambda: nn.GRU(4, 3)(inputs),
    "LSTM": lambda: nn.LSTM(4, 3)(inputs),
}
found = {}
for name, run in layers.items():
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        try:
            run()
            found[name] = "runs"
        except RuntimeError as error:
            found[name] = f"fails: {str(error).split('.')[0]}"
try:
    nn.LSTM(4, 3).bfloat16()(inputs.bfloat16())
    found["LSTM in bfloat16"] = "runs"
except RuntimeError as error:
    found["LSTM in bfloat16"] = f"fails: {str(error).split('.')[0]}"
print(torch.backends.cpu.get_cpu_capability())
for name, result in found.items():
    print(f"{name:17} {result}")
assert found["Linear"] == found["Conv1d"] == found["GRU"] == "runs", "the behaviour has changed"
assert found["LSTM"].startswith("fails: could not create a primitive"), "the behaviour has changed"
assert found["LSTM in bfloat16"] == "runs", "the behaviour has changed"
PYTHON
