"""Arguments of a command: positions, long options, KEY=VALUE and overrides."""

import pytest

from ner_lab.cli.parsers import PARSERS, CommandParser, parse_settings
from ner_lab.errors import UserError


def parser(*positions: str) -> CommandParser:
    made = CommandParser("try", usage=["RUN"], about="", words=("RUN", "a folder"), positions=positions)
    for name in ("output", "input_format"):
        made.add_setting(name, "VALUE", "a value")
    made.add_flag("json", "a flag")
    return made


@pytest.mark.parametrize(
    ("arguments", "settings", "overrides"),
    [
        (
            "run=a=b data=files data.test=x +data.columns.pos=1",
            {"run": "a=b"},
            "data=files data.test=x +data.columns.pos=1",
        ),
        ("a", {"run": "a"}, ""),
        ("outputs/decoder=crf/seed=1 --output x", {"run": "outputs/decoder=crf/seed=1", "output": "x"}, ""),
        ("--input-format=text a", {"run": "a", "input_format": "text"}, ""),
        ("--input_format text run=a", {"run": "a", "input_format": "text"}, ""),
        ("data=files --output - a data.test=x", {"run": "a", "output": "-"}, "data=files data.test=x"),
        ("--output a=b a data=files --json", {"run": "a", "output": "a=b"}, "data=files"),
        ("a --output x output=x", {"run": "a", "output": "x"}, ""),
    ],
)
def test_settings_are_long_options_or_keys_and_folders_are_given_by_position(
    arguments: str, settings: dict[str, str], overrides: str
) -> None:
    assert parse_settings(parser("run"), arguments.split()) == (settings, overrides.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b"], "'b': run given already"),
        (["--outptu", "x"], r"unknown option '--outptu'\. Did you mean '--output'\?"),
        (["a", "--jsn"], r"unknown option '--jsn'\. Did you mean '--json'\?"),
        (["--output"], "--output needs a value, --output VALUE"),
        (["--output=x", "--output=y"], "output is given twice"),
        (["a", "output=x", "--output=y"], "output is given twice"),
        (["rum=x"], "unknown key 'rum'. Did you mean 'run'?"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line_with_the_nearest_name(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        parse_settings(parser("run"), arguments)
    assert str(refused.value).endswith("`ner-lab try --help` lists what it takes.")
    assert "\n" not in str(refused.value)


def test_a_command_without_positions_takes_no_word() -> None:
    with pytest.raises(UserError, match=r"'run': expected KEY=VALUE\."):
        parse_settings(parser(), ["run"])


@pytest.mark.parametrize("command", PARSERS)
def test_a_help_text_fits_a_terminal_of_100_columns(command: str) -> None:
    text = PARSERS[command]().format_help()
    assert text.startswith(f"usage: ner-lab {command}")
    assert max(map(len, text.splitlines())) <= 100, max(text.splitlines(), key=len)
