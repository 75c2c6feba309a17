"""The GPU kernels, interpreted on a CPU in a process of their own: Triton reads how to run when it is imported."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from ner_lab.models.decoder.chain.linear_chain import LinearChainCRF

CASES = Path(__file__).with_name("triton_cases.py")


@pytest.mark.skipif(find_spec("triton") is None, reason="the GPU kernels need Triton (pip install triton)")
def test_kernels_agree_with_pytorch_in_tritons_interpreter() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", str(CASES)],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert "14 passed" in ran.stdout, ran.stdout[-2000:]


def test_on_a_cpu_triton_is_not_even_imported() -> None:
    crf = LinearChainCRF(3)
    emissions = torch.zeros(1, 2, 3)
    crf.log_likelihood(emissions, torch.zeros(1, 2, dtype=torch.long))
    crf.decode(emissions)
    assert "ner_lab.models.decoder.chain.triton_chain" not in sys.modules
