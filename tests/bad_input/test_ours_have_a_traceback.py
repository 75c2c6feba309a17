"""A bug of ours comes out as it is, of whatever kind and wherever: not worded as the user's, and never swallowed."""

import functools
import json
import subprocess
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from preloaded import Preloaded
from sample import Outcome

import ner_lab.cli.compare
import ner_lab.cli.data
import ner_lab.cli.report
from ner_lab.cli.app import mistake_behind
from ner_lab.config.compose import compose_config
from ner_lab.data import corpora
from ner_lab.data.options import DataOptions
from ner_lab.inference.batch_tagger import BatchTagger
from ner_lab.models.char_encoder.cnn import CharCNN
from ner_lab.models.decoder.crf import CRF
from ner_lab.models.encoder.recurrent import BiLSTM
from ner_lab.models.features.caps import Caps
from ner_lab.runs.folder import RunFolder
from ner_lab.tracking.none import NoTracker
from ner_lab.training.module import TaggerModule
from ner_lab.training.optimizers.adam import Adam
from ner_lab.training.train import train

BUGS = [ZeroDivisionError("a bug"), TypeError("a bug"), KeyError("a bug"), ValueError("a bug"), AttributeError("a bug")]
IN_TRAINING = [
    (corpora, "read_one"),
    (DataOptions, "__post_init__"),
    (Caps, "__init__"),
    (Caps, "dense"),
    (CharCNN, "__init__"),
    (BiLSTM, "forward"),
    (CRF, "loss"),
    (CRF, "decode"),
    (Adam, "optimizer"),
    (NoTracker, "__init__"),
    (TaggerModule, "validation_step"),
    (RunFolder, "write_metrics"),
]
EVERYWHERE = [(place, error) for place in ((BiLSTM, "__init__"), (TaggerModule, "training_step")) for error in BUGS]
CASES = [
    pytest.param(holder, name, error, id=f"{holder.__name__}.{name}-{type(error).__name__}")
    for (holder, name), error in [*zip(IN_TRAINING, cycle(BUGS), strict=False), *EVERYWHERE]
]


def breaks(patch: pytest.MonkeyPatch, holder: Any, name: str, error: Exception) -> None:
    @functools.wraps(getattr(holder, name))  # what it takes is read off it
    def broken(*arguments: object, **settings: object) -> None:
        raise error

    patch.setattr(holder, name, broken)


@pytest.fixture(scope="module")
def usual(small: list[str]) -> DictConfig:
    return compose_config([*small, "trainer.max_epochs=1"])


@pytest.mark.parametrize(("holder", "name", "error"), CASES)
def test_a_bug_in_training_is_no_mistake_of_the_users(
    holder: Any, name: str, error: Exception, usual: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NER_LAB_CACHE", str(tmp_path / "cache"))  # data are read anew
    breaks(monkeypatch, holder, name, error)
    with pytest.raises(Exception, match="a bug") as raised:
        train(usual.copy(), tmp_path / "run")
    assert error in (raised.value, raised.value.__cause__)
    assert mistake_behind(raised.value) is None
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("error", BUGS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("call", "holder", "name"),
    [
        ("evaluate run={run}", corpora, "read_one"),
        ("evaluate run={run}", CRF, "decode"),
        ("predict run={run} input={text} threads=1", BatchTagger, "tags"),
        ("compare {run} {run}", ner_lab.cli.compare, "read_pair"),
        ("report {run} output={here}", ner_lab.cli.report, "find"),
        ("data stats data=builtin", corpora, "read_one"),
        ("data export data=builtin output={here}", ner_lab.cli.data, "export"),
        ("train data=builtin hydra.run.dir={here}/run", DataOptions, "__post_init__"),
    ],
)
def test_a_bug_in_a_command_is_no_mistake_of_the_users(
    call: str,
    holder: Any,
    name: str,
    error: Exception,
    run: Path,
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if call.startswith("train") and not isinstance(error, ValueError):
        pytest.skip("one kind stands for all: they take the same way as those of a training above")
    (tmp_path / "text").write_text("Anna lives in Oslo .\n")
    breaks(monkeypatch, holder, name, error)
    with pytest.raises(type(error), match="a bug"):
        cli(*call.format(run=run, text=tmp_path / "text", here=tmp_path).split())


def test_a_bug_in_training_ends_the_process_with_code_1_and_a_traceback(
    small: list[str], preloaded: Preloaded, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "from ner_lab.models.decoder.crf import CRF\n"
        "def broken(*arguments, **settings): raise ValueError('a bug')\n"
        "CRF.loss = broken\n"
        "from ner_lab.cli.train import main\n"
        f"sys.argv = {['ner-lab train', *small, f'hydra.run.dir={tmp_path}']!r}\n"
        "main()\n"
    )
    done = subprocess.run([preloaded.python, "-c", code], capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 1
    failure = json.loads((tmp_path / "failure.json").read_text())
    assert failure["reason"] == "ValueError: a bug"
    assert "ValueError: a bug" in failure["log"][-1]
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.rstrip().endswith("ValueError: a bug")
