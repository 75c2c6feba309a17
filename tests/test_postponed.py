"""What is put off at the start: nobody misses it, and who asks for it gets the real thing."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from ner_lab.postponed import absent

COMPILER = "torch._dynamo"


def in_a_fresh_process(code: str, *arguments: str, cwd: Path | None = None) -> str:
    """What it prints; other modules may be imported here already."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


START = "import sys, torch\nfrom ner_lab.postponed import import_lightning\nimport_lightning()\n"
FORKS = """
import json, os, traceback
for line in sys.stdin:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.dup2(writing, 1)
        try:
            exec(json.loads(line), {"sys": sys, "torch": torch})
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc(file=sys.stdout), sys.stdout.flush()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, text]), flush=True)
"""


@pytest.fixture(scope="module")
def behind_the_start() -> Iterator[Callable[[str], str]]:
    """Runs code as behind `START`, in a process of its own each time, forked from one that has started; its output."""
    command = [sys.executable, "-c", START + FORKS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:

        def run(code: str) -> str:
            assert started.stdin is not None
            assert started.stdout is not None
            started.stdin.write(json.dumps(code) + "\n")
            started.stdin.flush()
            exit_code, said = json.loads(started.stdout.readline())
            assert exit_code == 0, said
            return said

        yield run
        started.kill()


# commands


def test_the_front_doors_load_neither_torch_nor_what_comes_with_it() -> None:
    heavy = {"torch", "pytorch_lightning", "torchmetrics", "wandb", "scipy", "matplotlib", "sklearn", "seqeval"}
    doors = "ner_lab.cli, ner_lab.job, ner_lab.sweep, ner_lab.command, ner_lab.compose, ner_lab.run_folder"
    code = f"import sys, {doors}; print(*sorted({heavy!r} & sys.modules.keys()))"
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
        "import atexit, sys, ner_lab.cli\n"
        "heavy = ('numpy', 'torch', 'rich', 'pytorch_lightning', 'matplotlib')\n"
        "atexit.register(lambda: print('LOADED', *(name for name in heavy if name in sys.modules)))\n"
        "sys.argv[0] = 'ner-lab'\n"
        "try:\n    ner_lab.cli.main()\nexcept SystemExit: pass\n"
    )
    *said, loaded = in_a_fresh_process(code, *arguments).splitlines()
    assert said
    assert loaded.split() == ["LOADED"]


def test_a_training_never_loads_what_is_put_off(small: list[str], tmp_path: Path) -> None:
    unused = (
        "scipy",
        "matplotlib",
        "PIL",
        "sympy",
        "sklearn",
        "tensorboard",
        "wandb",
        "torch._inductor",
        "pandas",
        f"{COMPILER}.eval_frame",
        "torch.distributed.fsdp",
        "torchvision",
        "transformers",
    )
    code = (
        "import sys, ner_lab.job, ner_lab.postponed\n"
        "ner_lab.postponed.import_lightning()\n"
        "from ner_lab.lit import TaggerModule\n"
        "step = TaggerModule.on_train_epoch_end\n"
        "def end(self):\n"
        f"    print('LOADED', *(name for name in {unused!r} if name in sys.modules))\n"
        "    return step(self)\n"
        "TaggerModule.on_train_epoch_end = end\n"
        "sys.argv[0] = 'ner-lab train'\n"
        "ner_lab.job.main()\n"
    )
    settings = [*small, "trainer.max_epochs=1", "logger=none", f"hydra.run.dir={tmp_path / 'run'}"]
    said = in_a_fresh_process(code, *settings, cwd=tmp_path)
    (loaded,) = [line for line in said.splitlines() if line.startswith("LOADED")]
    assert loaded.split() == ["LOADED"]
    assert (tmp_path / "run" / "metrics.json").exists()


# packages that look absent


def test_a_package_looks_absent_within_and_is_there_behind() -> None:
    assert "sweeps" not in sys.modules  # installed for tests, and imported by nobody here
    with absent("sweeps"):
        assert_absent("sweeps")
        assert importlib.util.find_spec("json") is not None
        assert version("numpy")
    assert importlib.util.find_spec("sweeps") is not None
    assert version("sweeps")


def assert_absent(package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=package):
        importlib.util.find_spec(package)
    with pytest.raises(ModuleNotFoundError, match=package):
        __import__(package)
    with pytest.raises(PackageNotFoundError, match=package):
        version(package)


def test_what_looked_absent_is_imported_later_as_ever(behind_the_start: Callable[[str], str]) -> None:
    code = "import matplotlib.figure, scipy.stats, torchmetrics; print(torchmetrics.SumMetric().compute().item())"
    assert behind_the_start(code) == "0.0\n"


def test_what_is_imported_already_stays_as_it_is() -> None:
    code = (
        "import sys, matplotlib, torchmetrics, torch._dynamo as compiler\n"
        "from ner_lab.postponed import import_lightning\n"
        "finders = len(sys.meta_path)\n"
        "import_lightning()\n"
        "from torchmetrics.utilities.imports import _MATPLOTLIB_AVAILABLE\n"
        "print(bool(_MATPLOTLIB_AVAILABLE), sys.modules['torch._dynamo'] is compiler, len(sys.meta_path) == finders)"
    )
    assert in_a_fresh_process(code) == "True True True\n"


# torch's compiler


def test_optimizers_step_without_the_compiler(behind_the_start: Callable[[str], str]) -> None:
    code = (
        "model = torch.nn.Linear(2, 1)\n"
        "for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam):\n"
        "    optimizer = kind(model.parameters(), lr=0.1)\n"
        "    before = model.weight.detach().clone()\n"
        "    model(torch.ones(3, 2)).sum().backward()\n"
        "    optimizer.step(); optimizer.zero_grad(); optimizer.load_state_dict(optimizer.state_dict())\n"
        "    assert not torch.equal(before, model.weight)\n"
        "import inspect\n"
        "def looking(): return inspect.getmodule(inspect.currentframe())\n"
        "looking(); [getattr(module, '__warningregistry__', None) for module in list(sys.modules.values())]\n"
        "print('torch._dynamo.eval_frame' in sys.modules, 'sympy' in sys.modules)"
    )
    assert behind_the_start(code) == "False False\n"


COMPILED = (
    "from lightning_fabric.wrappers import OptimizedModule\n"
    "plain = torch.nn.Linear(2, 2)\n"
    "assert not isinstance(plain, OptimizedModule)\n"
    "optimizer = torch.optim.Adam(plain.parameters(), lr=0.1)\n"
    "compiled = torch.compile(plain, backend='eager')\n"
    "compiled(torch.ones(1, 2)).sum().backward()\n"
    "optimizer.step(); optimizer.zero_grad()\n"
    "assert isinstance(compiled, OptimizedModule) and not isinstance(plain, OptimizedModule)\n"
    "assert type(compiled).__module__ == 'torch._dynamo.eval_frame'\n"
    "assert type(torch._dynamo).__name__ == 'module' and torch._dynamo is sys.modules['torch._dynamo']\n"
    "assert torch._dynamo.utils is sys.modules['torch._dynamo.utils']\n"
    "assert torch._dynamo.config.__spec__.name == 'torch._dynamo.config' and torch._dynamo.config.__spec__.origin\n"
    "assert not [finder for finder in sys.meta_path if 'ner_lab' in type(finder).__module__]\n"
    "torch._dynamo.graph_break(); print('compiled')"
)


@pytest.mark.parametrize(
    "first",
    [
        "",
        "import torch._dynamo.config\n",
        "from torch._dynamo import utils\n",
        "torch.use_deterministic_algorithms(False)\n",
        "torch._dynamo.disable()(print)\n",
    ],
    ids=["compile", "module", "attribute", "deterministic", "disable"],
)
def test_whoever_compiles_gets_the_real_compiler(first: str, behind_the_start: Callable[[str], str]) -> None:
    assert behind_the_start(first + COMPILED) == "compiled\n"


def test_what_was_shut_off_from_the_compiler_before_it_came_stays_so(behind_the_start: Callable[[str], str]) -> None:
    code = (
        "def inner(x): return x + torch._dynamo.is_compiling() * 0 + float('torch' in repr(x.__class__)) * 0\n"
        "traced = []\n"
        "def backend(graph, inputs):\n    traced.append(graph); return graph.forward\n"
        "off = torch._dynamo.disable(lambda x: x.sin())\n"
        "off(torch.ones(1))\n"
        "f = torch.compile(lambda x: off(x * 2) + 1, backend=backend)\n"
        "assert torch.equal(f(torch.ones(1)), torch.full((1,), 2.0).sin() + 1)\n"
        "print(any('sin' in str(graph.code) for graph in traced), len(traced))"
    )
    sin, graphs = behind_the_start(code).split()
    assert sin == "False"
    assert int(graphs) >= 1
