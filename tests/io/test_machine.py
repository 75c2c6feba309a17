"""Cores for this process, with and without a container's limit."""

import os
from pathlib import Path

import pytest

from ner_lab.io.machine import available_cores


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", 8), ("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("", 8)]
)
def test_a_containers_limit_counts(limit: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert available_cores(tmp_path / "cpu.max") == cores


def test_a_limit_above_the_cores_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3}, raising=False)
    (tmp_path / "cpu.max").write_text("800000 100000\n")
    assert available_cores(tmp_path / "cpu.max") == 1
    assert available_cores(tmp_path / "none") == 1
