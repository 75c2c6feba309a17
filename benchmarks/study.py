"""A study from the shell: how fast its jobs train, alone and together."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ner_lab.studies.status import read_status, speed_together


def run_study(overrides: Sequence[str], folder: Path) -> dict[str, float]:
    """`ner-lab train -m`: tokens per second of all jobs together and of one, tokens, seconds of the command."""
    command = [sys.executable, "-m", "ner_lab.cli.main", "train", "-m", *overrides, f"hydra.sweep.dir={folder}"]
    begun = time.monotonic()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    spent = time.monotonic() - begun
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    statuses = read_status(folder)
    each = [status.tokens_per_second or 0.0 for status in statuses]
    return {
        "together": speed_together(statuses) or 0.0,
        "job": sum(each) / len(each),
        "seconds": spent,
        "tokens": sum(status.tokens for status in statuses),
    }
