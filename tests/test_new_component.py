"""A part of one's own: one Python file, one YAML file, and nothing else is touched."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sample import Outcome, metrics_of

from ner_lab.config.compose import compose_config
from ner_lab.errors import UserError
from ner_lab.inference.evaluate import evaluate
from ner_lab.inference.trained_tagger import load
from ner_lab.training.train import train

PYTHON = '''
"""The mean of a word's character vectors."""

import torch
from torch import nn


class CharMean(nn.Module):
    def __init__(self, *, chars, char_dim):
        super().__init__()
        self.embedding = nn.Embedding(len(chars), char_dim, padding_idx=0)
        self.output_dim = char_dim

    def forward(self, chars, lengths):
        """chars (forms, letters), lengths (forms,) -> (forms, char_dim)."""
        return self.embedding(chars).sum(dim=1) / lengths[:, None]
'''
YAML = """
# Mean of character vectors
_target_: own_parts.char_mean.CharMean
_partial_: true
_convert_: all
char_dim: 7
"""


@pytest.fixture
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the configs of one's own; the code beside it is on Python's path."""
    for path, content in (
        (tmp_path / "code" / "own_parts" / "char_mean.py", PYTHON),
        (tmp_path / "my conf" / "char_encoder" / "mean.yaml", YAML),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    return tmp_path / "my conf"


def without_letters(small: list[str]) -> list[str]:
    return [setting for setting in small if not setting.startswith("char_encoder")]


def test_a_char_encoder_of_ones_own_trains_and_is_used_like_any_other(
    own_parts: Path,
    small: list[str],
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    choices = ["char_encoder=mean", "char_encoder.char_dim=5", "trainer.max_epochs=2", f"hydra.run.dir={folder}"]
    outcome = cli("train", *without_letters(small), *choices, "--config-dir", str(own_parts))
    assert outcome.code == 0, outcome.said
    metrics = metrics_of(folder)
    assert metrics["parameters"]["char encoder"] % 5 == 0
    assert metrics["parameters"]["char encoder"] > 0
    with pytest.raises(UserError, match="NER_LAB_TRUST=own_parts ner-lab"):
        load(folder)
    tagger = load(folder, trust=["own_parts"])
    assert len(tagger.predict([["Oslo", "rained"]])[0]) == 2
    assert tagger.tagger.embedder.chars.embedding.weight.shape[1] == 5
    monkeypatch.setenv("NER_LAB_TRUST", "others, own_parts")
    assert evaluate(folder)["test"].scores == metrics["test"]
    assert cli("predict", f"run={folder}", f"input={own_parts / 'char_encoder' / 'mean.yaml'}").code == 0


def test_it_is_found_by_a_search_path_as_well(
    own_parts: Path, small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    place = f"hydra.searchpath=['file://{own_parts}']"
    settings = ["char_encoder=mean", "trainer.max_epochs=1", f"hydra.run.dir={tmp_path / 'run'}"]
    outcome = cli("train", *without_letters(small), *settings, place)
    assert outcome.code == 0, outcome.said


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "char_encoder.char_dmi=3",
            "unknown config key 'char_encoder.char_dmi'. Did you mean 'char_encoder.char_dim'?",
        ),
        ("char_encoder.char_dim=wide", "char_encoder.char_dim must be a whole number, such as 7; got 'wide'."),
    ],
)
def test_its_keys_are_checked_as_well(
    argument: str, message: str, own_parts: Path, small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    settings = ["char_encoder=mean", argument, f"hydra.run.dir={tmp_path / 'run'}"]
    outcome = cli("train", *without_letters(small), *settings, "--config-dir", str(own_parts))
    assert outcome.code == 2
    assert message in outcome.said


def test_a_key_its_class_does_not_take_is_named_with_those_it_takes(
    own_parts: Path, small: list[str], tmp_path: Path
) -> None:
    file = own_parts / "char_encoder" / "mean.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("char_dim", "dim"), encoding="utf-8")
    cfg = compose_config([*without_letters(small), "char_encoder=mean"], [str(own_parts)])
    with pytest.raises(UserError, match=r"CharMean does not take 'dim' \(conf: char_encoder\).*It takes: .*char_dim"):
        train(cfg, tmp_path / "run")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("own_parts.char_mean.CharMeen", r"own_parts.char_mean has no 'CharMeen'\. Did you mean 'CharMean'\?"),
        ("own_parts.char_maen.CharMean", r"cannot be imported: No module named 'own_parts.char_maen'"),
        ("CharMean", r"CharMean cannot be imported"),
    ],
)
def test_a_class_that_is_not_there_is_named(
    target: str, message: str, own_parts: Path, small: list[str], tmp_path: Path
) -> None:
    file = own_parts / "char_encoder" / "mean.yaml"
    content = file.read_text(encoding="utf-8").replace("own_parts.char_mean.CharMean", target)
    file.write_text(content, encoding="utf-8")
    cfg = compose_config([*without_letters(small), "char_encoder=mean"], [str(own_parts)])
    with pytest.raises(UserError, match=f"^char_encoder: .*{message}"):
        train(cfg, tmp_path / "run")


def test_a_package_beside_the_folder_of_configs_needs_no_python_path(
    own_parts: Path,
    small: list[str],
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As README has it: `my_lab/` beside `my_conf/`, and later in the working folder, for a run that trusts it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    place = tmp_path / "beside"
    shutil.copytree(tmp_path / "code" / "own_parts", place / "beside_parts")
    shutil.copytree(own_parts, place / "conf")
    option = place / "conf" / "char_encoder" / "mean.yaml"
    option.write_text(option.read_text().replace("own_parts", "beside_parts"))
    run = tmp_path / "run"
    given = [*without_letters(small), "char_encoder=mean", "trainer.max_epochs=1", f"hydra.run.dir={run}"]
    outcome = cli("train", *given, "--config-dir", str(place / "conf"))
    assert outcome.code == 0, outcome.said
    for name in [name for name in sys.modules if name.partition(".")[0] == "beside_parts"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(place)])
    monkeypatch.setenv("NER_LAB_TRUST", "beside_parts")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no package beside_parts here"):
        load(run)
    monkeypatch.chdir(place)
    assert load(run).predict([["Oslo"]])
    assert str(place) not in sys.path
    monkeypatch.setenv("NER_LAB_TRUST", "")
    with pytest.raises(UserError, match="NER_LAB_TRUST=beside_parts"):
        load(run)


def test_the_command_line_of_ones_own_options_is_checked(
    own_parts: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "other").mkdir()
    own = ["--config-dir", str(own_parts)]
    for arguments, said in (
        ([*own, "--config-dir", str(tmp_path / "other")], "--config-dir is given 2 times"),
        ([*own, "--multirun", "--cfg", "job"], "--cfg shows the config of one job: leave out --multirun"),
        ([*own, "char_encoder=nope"], "Options: bilstm"),
    ):
        outcome = cli("train", *arguments)
        assert outcome.code == 2
        assert said in outcome.err
    assert ", mean, none" in outcome.err
