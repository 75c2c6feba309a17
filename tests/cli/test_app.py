"""Commands: their arguments, their exit codes, their words for a mistake."""

import logging
import os
from pathlib import Path

import pytest
from hydra.errors import HydraException

from ner_lab.cli.app import explain, keyword_arguments, mistake_behind, run_command
from ner_lab.config.compose import compose_config
from ner_lab.errors import UserError


def test_a_commands_own_keys_are_told_from_those_of_data() -> None:
    arguments = ["run=a=b", "data=files", "data.test=x", "output=", "+data.columns.pos=1"]
    assert keyword_arguments(arguments, ["run", "output"], "usage") == (
        {"run": "a=b", "output": ""},
        ["data=files", "data.test=x", "+data.columns.pos=1"],
    )


@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        (["a"], {"run": "a"}),
        (["outputs/decoder=crf/seed=1", "--output", "x"], {"run": "outputs/decoder=crf/seed=1", "output": "x"}),
        (["--input-format=text", "a"], {"run": "a", "input_format": "text"}),
        (["--input-format", "text", "run=a"], {"run": "a", "input_format": "text"}),
        (["--output", "a=b", "a", "data=files"], {"run": "a", "output": "a=b"}),
    ],
)
def test_settings_are_long_options_or_keys_and_folders_are_given_by_position(
    arguments: list[str], own: dict[str, str]
) -> None:
    known = ["run", "output", "input_format"]
    assert keyword_arguments(arguments, known, "usage", ["run"])[0] == own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b"], "'b': run given already"),
        (["--outptu", "x"], r"unknown option '--outptu'\. Did you mean '--output'\?"),
        (["--output"], "--output needs a value, --output VALUE"),
        (["--output=x", "--output=y"], "output is given twice"),
    ],
)
def test_a_wrong_option_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        keyword_arguments(arguments, ["run", "output"], "usage", ["run"])


def test_help_prints_the_usage_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        keyword_arguments(["run=x", "--help"], ["run"], "what to say")
    assert (end.value.code, capsys.readouterr().out) == (0, "what to say\n")


def test_an_unknown_argument_is_refused_with_the_nearest_and_the_usage() -> None:
    with pytest.raises(UserError, match=r"unknown key 'rum'\. Did you mean 'run'\?\n\nusage"):
        keyword_arguments(["rum=x"], ["run", "output"], "usage")
    with pytest.raises(UserError, match=r"'run': expected KEY=VALUE\.\n\nusage"):
        keyword_arguments(["run"], ["run"], "usage")


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
