"""Fuzzing of the readers with atheris, which looks for inputs that reach new code. Not a part of the suite.

    pip install atheris
    python tests/bad_input/fuzz_with_atheris.py conll|markup|lexicon|vectors|tags|predict [-max_total_time=60 ...]

What stands behind the target goes to libFuzzer; a folder of files is a corpus to begin with and to add to.
An input that breaks a rule of `fuzz_targets.py` is written to `crash-...` here: name it in `test_fuzz_data.py`.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

with atheris.instrument_imports(include=["ner_lab"]):
    import fuzz_targets

    from ner_lab.config.compose import compose_config
    from ner_lab.inference.trained_tagger import load
    from ner_lab.training.train import train


def target_of(name: str) -> Callable[[bytes], None]:
    if name != "predict":
        return fuzz_targets.TARGETS[name]
    from sample import SMALL

    folder = Path(tempfile.mkdtemp())
    os.environ["NER_LAB_CACHE"] = str(folder / "cache")
    train(compose_config(["data=builtin", "trainer.max_epochs=1", *SMALL]), folder / "run")
    return partial(fuzz_targets.predict, labeller=load(folder / "run").labeller)


def main() -> None:
    names = [*fuzz_targets.TARGETS, "predict"]
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        raise SystemExit(f"which target? {', '.join(names)}\n\n{__doc__}")
    target = target_of(sys.argv.pop(1))
    atheris.Setup(sys.argv, lambda content: target(bytes(content)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
