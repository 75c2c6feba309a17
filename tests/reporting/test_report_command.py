"""`ner-lab report`: what it writes, prints and refuses."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_study import FOUR, grid, metrics, predictions, scores, write_run
from sample import Outcome

import ner_lab.cli.report as command
from ner_lab.reporting.analysis import Findings
from ner_lab.reporting.plots.style import Figure

CRF, BOTH = list(FOUR)[1], list(FOUR)[3]
FILES = {"report.md", "report.html", "table.tex", "table.csv", "runs.csv", "types.csv"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One plot, and that no plot: drawing takes seconds."""

    def draw(findings: Findings, folder: Path) -> list[Figure]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "seeds.svg").write_text("<svg/>")
        return [Figure("seeds", "Seeds", "All seeds.", folder / "seeds.svg", folder / "seeds.png")]

    monkeypatch.setattr(command, "draw", draw)


@pytest.mark.usefixtures("quick")
def test_a_report_lies_beside_the_runs_and_its_table_is_printed(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    outcome = cli("report", str(grid(tmp_path, FOUR)), "rounds=50")
    assert outcome.code == 0, outcome.err
    written = tmp_path / "report"
    assert {path.name for path in written.iterdir()} == FILES | {"plots"}
    assert "12 of 12 jobs finished" in outcome.out
    assert any(line.split()[:3] == ["cnn", "crf", "3"] and "74.00" in line for line in outcome.out.splitlines())
    assert all(str(written / name) in outcome.out for name in FILES)
    assert "![Seeds](plots/seeds.png)" in (written / "report.md").read_text()


@pytest.mark.usefixtures("quick")
def test_a_second_report_is_the_same_as_the_first(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    cli("report", str(grid(tmp_path, FOUR)), "rounds=50")
    first = {name: (tmp_path / "report" / name).read_text() for name in FILES}
    assert cli("report", str(tmp_path), "rounds=50").code == 0
    assert {name: (tmp_path / "report" / name).read_text() for name in FILES} == first


@pytest.mark.usefixtures("quick")
def test_output_split_and_baseline_are_obeyed(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    folder = grid(tmp_path / "study", FOUR)
    arguments = (f"output={tmp_path / 'out'}", "split=dev", f"baseline={CRF}", "rounds=50")
    assert cli("report", f"folder={folder}", *arguments).code == 0
    assert not (folder / "report").exists()
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Dev F1 of each configuration less that of `no char encoder + crf`" in text


@pytest.mark.usefixtures("quick")
def test_the_folder_of_a_configuration_is_no_key_and_value(
    tmp_path: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(grid(tmp_path, FOUR))
    assert "3 of 3 runs finished" in cli("report", BOTH, "rounds=50").out


@pytest.mark.usefixtures("quick")
def test_a_study_half_done_is_reported_and_its_state_said(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    grid(tmp_path, FOUR)
    for seed in (1, 2, 3):
        (tmp_path / BOTH / f"seed={seed}" / "metrics.json").unlink()
    outcome = cli("report", str(tmp_path), "rounds=50")
    assert outcome.code == 0
    assert "Not complete: 9 of 12 jobs finished, 3 left." in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which folder?"),
        (["."], "ner-lab sweep"),
        (["nowhere"], "no such folder"),
        (["study", "splt=dev"], "unknown key 'splt'. Did you mean 'split'?"),
        (["study", "split=tset"], "Did you mean 'test'?"),
        (["study", "rounds=many"], "rounds must be a whole number"),
        (["study", "rounds=0"], "rounds must be a whole number"),
        (["study", "baseline=cnn + srf"], "Did you mean 'cnn + crf'?"),
        (["study", "data=builtin"], "report takes no data options"),
        (["study", "study"], "folder given already"),
        (["study", "output=/dev/null/x"], "/dev/null/x"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_what_cannot_be_reported_is_refused_with_the_next_step(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "study" in arguments:
        grid(tmp_path / "study", FOUR)
    monkeypatch.chdir(tmp_path)
    outcome = cli("report", *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_the_whole_report_is_made_without_torch(tmp_path: Path) -> None:
    for name in FOUR:
        for seed in (1, 2):
            wrong = range(seed + len(name) % 3)
            content = metrics(seed) | {"test": scores(wrong=wrong)}
            folder = write_run(tmp_path / name / f"seed={seed}", content, wrong=wrong)
            (folder / "predictions" / "dev.conll").write_text(predictions(()))
    code = (
        "import json, sys; from ner_lab.cli.main import main; main(); "
        "print(json.dumps([name for name in ('torch', 'pytorch_lightning', 'wandb') if name in sys.modules]))"
    )
    command_line = [sys.executable, "-c", code, "report", str(tmp_path), "rounds=100"]
    done = subprocess.run(command_line, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    plots = {path.name for path in (tmp_path / "report" / "plots").iterdir()}
    assert {"seeds.svg", "seeds.png", "differences.svg", "mistakes.png"} <= plots
    text = (tmp_path / "report" / "report.md").read_text()
    assert all(f"plots/{name}" in text for name in plots if name.endswith(".png"))
