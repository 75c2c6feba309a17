"""What the libraries beneath us import at every start and a training never uses, put off until it is used.

Most of the time that Lightning takes to import is not torch's own: it is torch's compiler, which every optimizer
of torch imports as well, and SciPy, Matplotlib and the like, which torchmetrics imports where it finds them.
"""

import functools
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import DistributionFinder, PackageNotFoundError
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_NOT_FOR_METRICS = ("matplotlib", "scipy", "PIL", "torchvision", "torchaudio", "transformers", "librosa")


def import_lightning() -> None:
    """Import Lightning for a process whose only work is training; what is imported already stays as it is."""
    if "torchmetrics" not in sys.modules:
        postpone_compiler()
        with absent(*_NOT_FOR_METRICS):
            importlib.import_module("torchmetrics")
    importlib.import_module("pytorch_lightning")


@contextmanager
def absent(*packages: str) -> Iterator[None]:
    """Within, packages that are not imported yet look as if they were not installed: libraries go without them."""
    finder = _Absent(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Absent(DistributionFinder):
    """Says of some packages, before any other finder is asked, that there is neither a module nor a distribution."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def find_distributions(self, context: Any = None) -> Iterator[Any]:
        if context is not None and context.name in self.packages:
            raise PackageNotFoundError(context.name)
        return iter(())


def postpone_compiler() -> None:
    """Put a stand-in in the place of torch's compiler, if nobody has imported that: see `_Compiler`."""
    import torch

    if _COMPILER in sys.modules:
        return
    stand_in = _Compiler()
    sys.modules[_COMPILER] = torch._dynamo = stand_in
    sys.meta_path.insert(0, _CompilersModules())


class _Compiler(ModuleType):
    """Stands for `torch._dynamo` until something is compiled.

    It answers what torch's optimizers and Lightning ask where nothing is compiled: whether a module is a
    compiled one, and functions that matter to the compiler alone. Whatever else is asked of it, or a module
    within, brings in the real one, which takes its place for good.
    """

    def __init__(self) -> None:
        super().__init__(_COMPILER, "Stands for torch's compiler until something is compiled.")
        self.__spec__ = importlib.util.find_spec(_COMPILER)
        assert self.__spec__ is not None
        self.__path__ = self.__spec__.submodule_search_locations or []
        self.__file__, self.__loader__ = self.__spec__.origin, self.__spec__.loader
        self.__package__ = _COMPILER
        self.OptimizedModule = _OptimizedModule

    @staticmethod
    def graph_break(*args: Any, **kwargs: Any) -> None:
        """Nothing, outside compiled code."""
        if (compiler := _loaded()) is not None:
            compiler.graph_break(*args, **kwargs)

    @staticmethod
    def disable(function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """The function, shut off from the compiler once there is one."""
        if function is None:
            return _load().disable(None, *args, **kwargs)
        shut_off: list[Callable[..., Any]] = []

        @functools.wraps(function)
        def call(*inner: Any, **named: Any) -> Any:
            if not shut_off and (compiler := _loaded()) is not None:
                shut_off.append(compiler.disable(function, *args, **kwargs))
            return (shut_off[0] if shut_off else function)(*inner, **named)

        return call

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever looks through all modules, as `inspect` does, wants none of them
            raise AttributeError(f"module '{_COMPILER}' has no attribute '{name}'")
        return getattr(_load(), name)


class _IsCompiled(type):
    def __instancecheck__(cls, instance: object) -> bool:
        compiler = _loaded()
        return compiler is not None and isinstance(instance, compiler.OptimizedModule)


class _OptimizedModule(metaclass=_IsCompiled):
    """What a compiled module is an instance of; there is none before there is a compiler."""


class _CompilersModules(importlib.abc.MetaPathFinder):
    """Brings in the real compiler before a module of it is imported, which it then has imported itself."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith(f"{_COMPILER}."):
            return None
        _load()
        return ModuleSpec(name, _Ready(sys.modules[name])) if name in sys.modules else None


class _Ready(importlib.abc.Loader):
    """Gives a module that is imported already."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def _loaded() -> Any:
    """The real compiler, or None while the stand-in is there."""
    compiler = sys.modules.get(_COMPILER)
    return None if isinstance(compiler, _Compiler) else compiler


def _load() -> Any:
    """The real compiler, in the place of the stand-in."""
    if isinstance(sys.modules.get(_COMPILER), _Compiler):
        import torch

        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _CompilersModules)]
        del sys.modules[_COMPILER]
        vars(torch).pop("_dynamo", None)
    return importlib.import_module(_COMPILER)
