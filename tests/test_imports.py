"""Imports flow one way, and are read off the source, so that no order of importing can hide a fault."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ner_lab

ROOT = Path(ner_lab.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "conf" not in path.relative_to(ROOT).parts)
ENTRY_POINTS = {
    "job",
    "run_callback",
    "again",
    "train",
    "check",
    "evaluate",
    "predict",
    "corpus",
    "sweep",
    "compose",
    "command",
}
# what a room may know beside itself and the libraries; a name stands for a module or a whole room
MAY_KNOW = {
    "errors": set(),
    "own_classes": {"errors"},
    "suggest": set(),
    "limits": {"errors"},
    "settings": {"errors", "suggest"},
    "arguments": {"errors"},
    "tags": {"errors"},
    "transitions": {"tags"},
    "initialise": set(),
    "dropout": set(),
    "recurrence": {"errors", "initialise"},
    "threads": {"errors", "recurrence"},
    "whole": set(),
    "sealed": {"whole"},
    "disk": set(),
    "redact": {"errors"},
    "data": {"disk", "errors", "own_classes", "sealed", "suggest", "tags", "whole"},
    "counting": {"errors"},
    "gradients": set(),
    "features": {"errors", "data", "tags", "counting", "gradients", "whole", "limits"},
    "word_embedding": {"errors", "data", "initialise", "gradients", "sealed", "limits"},
    "char_encoder": {"dropout", "errors", "initialise", "recurrence", "limits"},
    "encoder": {"dropout", "errors", "initialise", "recurrence", "limits"},
    "decoder": {"dropout", "errors", "tags", "initialise", "counting", "recurrence", "transitions", "limits"},
    "optimizer": {"errors", "gradients"},
    "logger": {"errors", "mistakes", "redact", "tags", "whole"},
    "span_scores": set(),
    "mistakes": {"errors", "span_scores", "tags"},
    "report": {
        *("choices", "command", "data", "errors", "mistakes", "plain_files", "suggest", "tags", "terminal", "whole"),
        "study.files",
    },
    "results": {"choices", "command", "compose", "errors", "plain_files", "report", "study.files", "whole"},
    "conlleval": {"mistakes", "span_scores", "tags", "terminal"},
    "score": {"command", "conlleval", "data", "errors", "mistakes", "report", "tags", "terminal"},
    "compare": {
        *("command", "data", "errors", "mistakes", "plain_files", "report", "span_scores", "tags", "terminal", "whole"),
    },
    "metric": {"span_scores", "tags"},
    "oov": {"data", "span_scores", "tags"},
    "stopping": {"errors"},
    "progress": {"data"},
    "contract": {"data", "errors", "optimizer", "own_classes", "tagger", "tags"},
    "checkpoint_file": {"errors", "whole"},
    "plain_files": {"errors"},
    "trusted": {"errors", "plain_files"},
    "keeping": {"data", "epoch_log", "errors", "lit", "optimizer", "run_folder"},
    "choices": set(),
    "study": {
        *("choices", "compose", "data", "errors", "plain_files", "redact", "run_folder", "suggest", "terminal"),
        "whole",
    },
    "cores": set(),
    "text_io": {"data", "errors", "tags"},
    "predicting": {
        *("data", "disk", "embedder", "errors", "features", "tagger", "tags", "text_io", "threads", "whole"),
    },
    "embedder": {"data", "features"},
    "tagger": {"data", "embedder"},
}


def name_of(path: Path) -> str:
    """`ner_lab/data/conll.py` -> `data.conll`; a package's own file -> `data`; the root -> ``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def guarded(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(path: Path, *, late: bool | None = None) -> set[str]:
    """Full names a file imports; `late` chooses those within functions, or those that are not."""
    found = set()

    def visit(node: ast.AST, inside: bool) -> None:
        if guarded(node):
            return
        if isinstance(node, ast.Import | ast.ImportFrom) and late in (None, inside):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            else:
                assert node.level == 0, f"{path}: relative import"
                found.add(str(node.module))
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
        deeper = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, deeper)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def own_modules(path: Path, *, late: bool | None = None) -> set[str]:
    """Modules of this project a file imports, by their names in `MODULES`."""
    names = {name.removeprefix("ner_lab").removeprefix(".") for name in imported(path, late=late) if "ner_lab" in name}
    return {name for name in names if name in MODULES} - {""}


def imports_library(path: Path, library: str) -> bool:
    return any(name == library or name.startswith(f"{library}.") for name in imported(path))


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def test_the_reader_of_imports_sees_those_at_the_top_and_those_in_functions(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text(
        "import torch.nn as nn\nfrom ner_lab.data import conll\nif TYPE_CHECKING:\n    import never\n"
        "def f():\n    from hydra.utils import instantiate\n"
    )
    assert imported(file, late=False) == {"torch.nn", "ner_lab.data", "ner_lab.data.conll"}
    assert imported(file, late=True) == {"hydra.utils", "hydra.utils.instantiate"}
    assert own_modules(file) == {"data", "data.conll"}


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_room_knows_only_what_stands_to_its_left(room: str) -> None:
    files = [path for name, path in MODULES.items() if within(name, room)]
    assert files
    for path in files:
        for other in own_modules(path):
            allowed = within(other, room) or any(within(other, known) for known in MAY_KNOW[room])
            assert allowed, f"{path.relative_to(ROOT)} imports {other}"


@pytest.mark.parametrize(
    "name",
    [
        "tags",
        "transitions",
        "errors",
        "suggest",
        "span_scores",
        "mistakes",
        "compare.command",
        "score",
        "report.command",
        "data.conll",
        "data.sentence",
        "data.vocab",
    ],
)
def test_tags_and_text_need_no_torch(name: str) -> None:
    reached, waiting = set(), {name}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting |= own_modules(MODULES[module]) - reached
    assert not [module for module in reached if imports_library(MODULES[module], "torch")]


def test_data_never_sees_a_neural_network() -> None:
    for name, path in MODULES.items():
        if within(name, "data"):
            assert not imports_library(path, "torch.nn"), name
            assert "torch.nn" not in path.read_text(encoding="utf-8"), name


def test_only_entry_points_build_and_compose_import_hydra() -> None:
    users = {name for name, path in MODULES.items() if imports_library(path, "hydra")}
    assert users <= ENTRY_POINTS | {"build"}
    assert "build" in users


def test_only_lightnings_side_imports_lightning() -> None:
    users = {name for name, path in MODULES.items() if imports_library(path, "pytorch_lightning")}
    lightning = {"data", "epoch_log", "keeping", "lit", "logger", "progress", "settings", "stopping", "train"}
    assert {name.partition(".")[0] for name in users} == lightning
    assert {name for name in users if within(name, "data")} == {"data.datamodule"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: own_modules(path, late=False) - {name} for name, path in MODULES.items()}
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"a circle within {sorted(graph)}"


def test_only_the_front_doors_import_modules_late() -> None:
    late = {name for name, path in MODULES.items() if own_modules(path, late=True)}
    # Triton takes long to import, and only a GPU needs it
    assert late <= {"", "again", "check", "cli", "job", "decoder.linear_chain"}


def test_every_file_is_named_after_a_concept() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "tools", "core"}
    assert not [path for path in FILES if path.stem in vague]


def test_importing_the_package_loads_no_torch() -> None:
    code = "import ner_lab, sys; assert ner_lab.__version__; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
