"""Run folders of version 0.1.0 as it was before the packages had their present names (commit eca241f)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sample import Outcome, metrics_of

from ner_lab.config.renames import current_target
from ner_lab.inference.evaluate import evaluate
from ner_lab.inference.trained_tagger import load
from ner_lab.runs.folder import RunFolder
from ner_lab.user_code import name_of

HERE = Path(__file__).parents[1] / "support" / "older_run"


@pytest.fixture
def corpus_of_the_run() -> list[str]:
    return [f"data.{split}={HERE / 'corpus' / split}.conll" for split in ("train", "dev", "test")]


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A copy, so that nothing is written beside the original."""
    return Path(shutil.copytree(HERE / "run", tmp_path / "older"))


def test_a_tagger_of_an_older_run_tags_as_it_did(older: Path) -> None:
    sentences = [
        [line.split()[0] for line in block.splitlines()]
        for block in (older / "predictions" / "test.conll").read_text().strip().split("\n\n")
    ]
    predicted = [
        [line.split()[2] for line in block.splitlines()]
        for block in (older / "predictions" / "test.conll").read_text().strip().split("\n\n")
    ]
    assert load(older).predict(sentences) == predicted


def test_an_older_run_is_scored_as_it_was(older: Path, corpus_of_the_run: list[str]) -> None:
    scored = evaluate(older, ["data=files", *corpus_of_the_run])
    for split in ("dev", "test"):
        assert scored[split].scores | metrics_of(older)[split] == scored[split].scores


def test_an_older_run_trains_again(
    older: Path, corpus_of_the_run: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    again = cli("train", "--from", str(older), *corpus_of_the_run, f"hydra.run.dir={tmp_path / 'again'}")
    assert again.code == 0, again.said
    assert metrics_of(tmp_path / "again")["epochs"] == metrics_of(older)["epochs"]  # scores depend on the processor
    config = RunFolder(tmp_path / "again").read_config()
    assert config.encoder["_target_"].startswith("ner_lab.models.encoder.")


def test_an_older_run_is_in_a_report_and_can_be_compared(
    older: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    made = cli("report", f"folder={older.parent}", f"output={tmp_path / 'report'}")
    assert made.code == 0, made.said
    assert "90.24" in (tmp_path / "report" / "report.md").read_text()
    assert cli("compare", str(older), str(HERE / "run")).code == 0


def test_every_class_that_an_older_config_names_is_found(older: Path) -> None:
    trained = load(older)
    assert "_target_: ner_lab.encoder.bilstm.BiLSTM" in (older / "config.yaml").read_text(), "or this proves nothing"
    assert name_of(trained.tagger.encoder) == current_target("ner_lab.encoder.bilstm.BiLSTM")


def test_a_run_that_an_older_version_was_stopped_in_within_an_epoch_is_refused_with_the_next_step(
    tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    stopped = shutil.copytree(HERE / "stopped", tmp_path / "stopped")
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    refused = cli("train", f"resume={stopped}")
    assert refused.code == 2, refused.said
    assert f"ner-lab train --from {stopped}" in refused.err
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before
