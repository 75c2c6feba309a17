"""The GPU benchmark's script: what it does without a GPU, and that all of it runs on a CPU in its smallest sizes."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from ner_lab.config.trainer_checks import has_half_precision_lstm

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measure = importlib.import_module("measure")
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    yield importlib.import_module("gpu")
    torch.utils.deterministic.fill_uninitialized_memory = True
    for shown in (measure._tables, measure._notes):
        shown.clear()


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/gpu.py", *arguments])


def test_without_a_gpu_it_says_so_and_measures_nothing(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    called(monkeypatch)
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 2
    assert "There is no GPU" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_each_part_runs_on_a_cpu_and_is_saved(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[int, int, tuple[str, ...]]] = []

    def swept(options: Any, plan: Any, seeds: int, epochs: int, launcher: list[str]) -> dict[str, float]:
        asked.append((seeds, epochs, tuple(launcher)))
        return {"seconds": 2.0, "tokens_per_second": 100.0 * seeds, "slowest": 90.0}

    if not has_half_precision_lstm():
        monkeypatch.delitem(gpu.PRECISIONS, "bf16")
    monkeypatch.setattr(gpu, "sweep", swept)
    called(monkeypatch, "--device", "cpu", "--tiny")
    gpu.main()
    saved = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [part for part in saved["figures"] if part != "device"] == list(gpu.PARTS)
    assert all(rate > 0 for rates in saved["figures"]["run"]["loop"]["4"]["rates"].values() for rate in rates)
    assert saved["figures"]["graphs"]["4"]["replayed"] is None
    assert saved["figures"]["waits"]["4"]["copies"] == 0
    assert [seeds for seeds, *_ in asked] == [1, 2, 2]
    assert all(len(row) == len(table["header"]) for table in saved["tables"] for row in table["rows"])


@pytest.mark.soak
def test_a_sweep_gives_its_time_and_its_rates(gpu: ModuleType) -> None:
    options = gpu.measure.parser("").parse_args([])
    options.device = "cpu"
    run = gpu.sweep(options, gpu.TINY, 1, 1, gpu.side_by_side(2))
    assert run["tokens_per_second"] == run["slowest"] > 0
    assert run["seconds"] > 1


def test_precision_is_as_before_when_it_is_over(gpu: ModuleType) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    for precision in gpu.PRECISIONS.values():
        with gpu.multiplying(precision, torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == precision.matmul
            assert torch.is_autocast_enabled("cpu") is precision.half
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_only_the_parts_asked_for_are_measured(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called(monkeypatch, "--device", "cpu", "--tiny", "--only", "crf")
    gpu.main()
    assert list(json.loads((tmp_path / "gpu.json").read_text())["figures"]) == ["device", "crf"]
