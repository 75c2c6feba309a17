"""Imports flow one way, and are read off the source, so that no order of importing can hide a fault."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ner_lab

ROOT = Path(ner_lab.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "conf" not in path.relative_to(ROOT).parts)
LAYERS = (
    {"errors", "version"},
    {"user_code"},
    {"io"},
    {"data"},
    {"config"},
    {"models"},
    {"runs", "evaluation"},
    {"inference", "tracking", "studies", "reporting"},
    {"training"},
    {"cli"},
)
"""Packages and modules of the root, from the lowest layer up: each imports from the layers below it alone."""
LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}


def name_of(path: Path) -> str:
    """`ner_lab/data/readers/conll.py` -> `data.readers.conll`; a package's own file -> `data`; the root -> ``."""
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
        "import torch.nn as nn\nfrom ner_lab.data.readers import conll\nif TYPE_CHECKING:\n    import never\n"
        "def f():\n    from hydra.utils import instantiate\n"
    )
    assert imported(file, late=False) == {"torch.nn", "ner_lab.data.readers", "ner_lab.data.readers.conll"}
    assert imported(file, late=True) == {"hydra.utils", "hydra.utils.instantiate"}
    assert own_modules(file) == {"data.readers", "data.readers.conll"}


def test_the_table_of_layers_has_every_package_and_the_root_few_modules() -> None:
    assert {name.partition(".")[0] for name in MODULES} - {""} == set(LEVEL)
    assert len([name for name, path in MODULES.items() if path.parent == ROOT]) <= 5


@pytest.mark.parametrize("package", sorted(LEVEL))
def test_a_package_imports_only_from_the_layers_below_it(package: str) -> None:
    files = [path for name, path in MODULES.items() if within(name, package)]
    assert files
    for path in files:
        for other in own_modules(path):
            below = LEVEL[other.partition(".")[0]] < LEVEL[package]
            assert below or within(other, package), f"{path.relative_to(ROOT)} imports {other}"


@pytest.mark.parametrize(
    "name",
    [
        "data.tags",
        "data.readers.conll",
        "data.sentence",
        "data.vocab",
        "models.decoder.stack_lstm.actions",
        "evaluation.precision_recall",
        "evaluation.error_analysis",
        "cli.compare",
        "cli.score",
        "cli.report",
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


def test_only_what_composes_makes_parts_or_speaks_to_the_shell_imports_hydra() -> None:
    users = {name for name, path in MODULES.items() if imports_library(path, "hydra")}
    assert {name for name in users if not within(name, "cli")} == {
        *("config.compose", "config.instantiate", "training.train", "training.trainer"),
        "tracking.wandb.sweep",  # which reads the ranges of a search
    }


def test_only_training_tracking_and_what_checks_or_feeds_the_trainer_import_lightning() -> None:
    users = {name for name, path in MODULES.items() if imports_library(path, "pytorch_lightning")}
    others = {name for name in users if not within(name, "training") and not within(name, "tracking")}
    assert others == {"data.batching.datamodule", "config.trainer_checks"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: own_modules(path, late=False) - {name} for name, path in MODULES.items()}
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"a circle within {sorted(graph)}"


def test_only_the_front_doors_import_modules_late() -> None:
    late = {name for name, path in MODULES.items() if own_modules(path, late=True)}
    assert late <= {"", "cli.rerun", "cli.check", "cli.main", "cli.train"}


def test_every_file_is_named_after_a_concept() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "tools", "core"}
    assert not [path for path in FILES if path.stem in vague]


def test_importing_the_package_loads_no_torch() -> None:
    code = "import ner_lab, sys; assert ner_lab.__version__; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
