"""What commands import: those that do not train start fast, and never import Lightning."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "pytorch_lightning", "torchmetrics", "wandb", "scipy", "matplotlib", "sklearn", "seqeval")


def in_a_fresh_process(code: str, *arguments: str, cwd: Path | None = None) -> str:
    """What it prints; other modules may be imported here already."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_front_doors_load_neither_torch_nor_what_comes_with_it() -> None:
    doors = ("cli.main", "cli.train", "cli.sweep", "cli.app", "config.compose", "runs.folder")
    imported = ", ".join(f"ner_lab.{name}" for name in doors)
    code = f"import sys, {imported}; print(*sorted(set({HEAVY!r}) & sys.modules.keys()))"
    assert in_a_fresh_process(code).split() == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--version"],
        ["evaluate", "--help"],
        ["predict", "-h"],
        ["train", "--help"],
        ["data", "stats", "--help"],
        ["report", "--help"],
    ],
)
def test_help_is_answered_without_what_the_command_needs(arguments: list[str]) -> None:
    code = (
        "import atexit, sys, ner_lab.cli.main\n"
        "heavy = ('numpy', 'torch', 'rich', 'pytorch_lightning', 'matplotlib')\n"
        "atexit.register(lambda: print('LOADED', *(name for name in heavy if name in sys.modules)))\n"
        "sys.argv[0] = 'ner-lab'\n"
        "try:\n    ner_lab.cli.main.main()\nexcept SystemExit: pass\n"
    )
    *said, loaded = in_a_fresh_process(code, *arguments).splitlines()
    assert said
    assert loaded.split() == ["LOADED"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("train", "encoder.hidden=3"),
        ("data", "stats data=builtin"),
        ("predict", "run={run} input={text}"),
        ("evaluate", "run={run}"),
        ("report", "folder={run} output={here}/report"),
        ("compare", "{run} {run}"),
        ("sweep", "--status chars_by_decoder"),
    ],
)
def test_what_does_not_train_never_imports_lightning(command: str, arguments: str, run: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Anna lives in Oslo .\n")
    code = (
        "import atexit, sys, ner_lab.cli.main\n"
        "atexit.register(lambda: print('\\nLOADED', 'pytorch_lightning' in sys.modules))\n"
        "sys.argv[0] = 'ner-lab'\n"
        "try:\n    ner_lab.cli.main.main()\nexcept SystemExit: pass\n"
    )
    given = arguments.format(run=run, text=tmp_path / "text", here=tmp_path).split()
    assert in_a_fresh_process(code, command, *given, cwd=tmp_path).splitlines()[-1] == "LOADED False"


def test_the_package_and_a_loaded_tagger_never_import_lightning(run: Path) -> None:
    code = (
        "import sys, ner_lab\nassert 'torch' not in sys.modules\n"
        f"print(ner_lab.load({str(run)!r}).predict([['Oslo']]) and 'pytorch_lightning' in sys.modules)\n"
    )
    assert in_a_fresh_process(code).splitlines()[-1] == "False"
