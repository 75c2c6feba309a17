"""Commands: their arguments, their exit codes, their words for a mistake."""

import logging
import os
from pathlib import Path

import pytest
from hydra.errors import HydraException

from ner_lab.cli.app import explain, mistake_behind, run_command
from ner_lab.config.compose import compose_config
from ner_lab.errors import UserError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epoch=3", "unknown config key 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?"),
        ("sede=3", "unknown config key 'sede'. Did you mean 'seed'?"),
        ("zzzzzz=3", "unknown config key 'zzzzzz'. `ner-lab train --cfg job` shows all keys."),
        ("decoder=crff", "decoder has no option 'crff'. Did you mean 'crf'? Options: crf, crf_chiu,"),
        ("paper=huang", "paper has no option 'huang'. Did you mean 'huang2015'?"),
        ("decoder.heads=3", "unknown config key 'decoder.heads'"),
        ("optimizer.momentum=0", "the chosen option of 'optimizer' does not take 'momentum'"),
        ("data.columns.lemma=1", "'data.columns.lemma' is a new name there: add it with a plus sign"),
        ("data.columns={word: 0, lemma: 1}", "'data.columns.lemma' is a new name there: add it with a plus sign"),
        ("seed=[1", "'seed=[1' cannot be read: no viable alternative at input"),
    ],
)
def test_an_override_that_cannot_be_is_explained(override: str, message: str) -> None:
    with pytest.raises(HydraException) as error:
        compose_config([override])
    text = explain(error.value)
    assert text.startswith(message)
    assert "\n" not in text


def test_what_a_part_says_while_hydra_builds_it_comes_through() -> None:
    inner = HydraException("Error in call to target 'some.where':\nValueError('no')\nfull_key: trainer")
    inner.__cause__ = ValueError("devices should be at least 1")
    assert mistake_behind(inner) == "trainer: devices should be at least 1"
    inner.__cause__ = UserError("too big.")
    assert mistake_behind(inner) == "too big."


def test_a_file_that_cannot_be_written_is_the_users_and_a_fault_of_ours_is_not(tmp_path: Path) -> None:
    with pytest.raises(OSError) as error:
        (tmp_path / "none" / "file").open("w")
    assert mistake_behind(error.value) == f"{tmp_path / 'none' / 'file'}: No such file or directory."
    assert mistake_behind(OSError("connection lost")) is None
    assert mistake_behind(RuntimeError("a bug")) is None
    assert mistake_behind(ValueError("a bug")) is None


@pytest.mark.parametrize(("error", "code"), [(UserError("wrong."), 2), (KeyboardInterrupt(), 130)])
def test_commands_end_with_codes_a_script_can_tell_apart(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", os.environ.get("HYDRA_FULL_ERROR", ""))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        run_command(command)
    assert end.value.code == code
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: wrong.\n" if code == 2 else "interrupted\n")


def test_a_fault_of_ours_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


def test_a_users_mistake_is_logged_where_there_is_a_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def command() -> None:
        raise UserError("wrong.")

    with pytest.raises(SystemExit):
        run_command(command)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("ERROR", "error: wrong.")]


# the nearest name
