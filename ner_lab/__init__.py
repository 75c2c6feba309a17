"""An experiment framework for neural named entity recognition."""

from typing import TYPE_CHECKING, Any

from ner_lab.version import __version__

if TYPE_CHECKING:
    from ner_lab.inference.trained_tagger import load as load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # imported on first use, so `import ner_lab` is fast
        from ner_lab.inference.trained_tagger import load

        return load
    raise AttributeError(f"module 'ner_lab' has no attribute '{name}'")
