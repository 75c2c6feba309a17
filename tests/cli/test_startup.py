"""What commands import: those that do not train start fast, and never import Lightning."""

import subprocess
import sys
from pathlib import Path

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


RUN_ALL = """
import sys, ner_lab.cli.main
heavy = sys.argv[1].split(",")
for command in sys.argv[2:]:
    sys.argv = ["ner-lab", *command.split()]
    try:
        ner_lab.cli.main.main()
    except SystemExit:
        pass
    print(f"\\nLOADED {command}:", *(name for name in heavy if name in sys.modules))
"""


def test_help_is_answered_without_what_the_command_needs() -> None:
    commands = [
        "",
        "--help",
        "--version",
        "evaluate --help",
        "predict -h",
        "train --help",
        "data stats --help",
        "report --help",
    ]
    printed = in_a_fresh_process(RUN_ALL, "numpy,torch,rich,pytorch_lightning,matplotlib", *commands)
    parts = printed.split("\nLOADED ")
    assert all(len(part) > 5 for part in parts[:-1]), "each says something"
    assert [line for line in printed.splitlines() if line.startswith("LOADED ")] == [
        f"LOADED {one}:" for one in commands
    ]


def test_what_does_not_train_never_imports_lightning(run: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Anna lives in Oslo .\n")
    commands = [
        "train encoder.hidden=3",
        "data stats data=builtin",
        f"predict {run} --input {tmp_path / 'text'}",
        f"evaluate {run}",
        f"report {run} --output {tmp_path / 'report'}",
        f"compare {run} {run}",
        "sweep --status chars_by_decoder",
    ]
    printed = in_a_fresh_process(RUN_ALL, "pytorch_lightning", *commands, cwd=tmp_path)
    assert [line for line in printed.splitlines() if line.startswith("LOADED ")] == [
        f"LOADED {one}:" for one in commands
    ]
    assert "Oslo" in printed
    assert (tmp_path / "report").is_dir()


def test_the_package_and_a_loaded_tagger_never_import_lightning(run: Path) -> None:
    code = (
        "import sys, ner_lab\nassert 'torch' not in sys.modules\n"
        f"print(ner_lab.load({str(run)!r}).predict([['Oslo']]) and 'pytorch_lightning' in sys.modules)\n"
    )
    assert in_a_fresh_process(code).splitlines()[-1] == "False"
