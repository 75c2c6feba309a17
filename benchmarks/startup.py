"""From the shell to the first training step: commands, imports, word vectors, prepared data.

    python benchmarks/startup.py --data FOLDER --vectors FILE    CoNLL-2003 and GloVe beside the built-in corpus

Every time is that of a process of its own; caches are warm but where it says "first".
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import measure

ROUNDS, QUICK_ROUNDS = 5, 1
WORDS, QUICK_WORDS, DIM = 400_000, 2_000, 100
HELP_GOAL, STEP_GOAL, FIRST_GOAL, SECOND_GOAL = 0.5, 6.0, 15.0, 0.2


def seconds(*command: str, fails: bool = False) -> float:
    """How long a command takes from start to end; `fails`: it is known to end with an error."""
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if bool(done.returncode) != fails:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.monotonic() - begun


def ner_lab(*arguments: str, fails: bool = False) -> float:
    return seconds(sys.executable, "-m", "ner_lab.cli.main", *arguments, fails=fails)


def inside(what: str, *arguments: object) -> Any:
    """This script in another process: what `what` gives there."""
    return measure.child([__file__, "--inside", what, str(time.monotonic()), *map(str, arguments)], threads=1)


# what runs in a process of its own


def timeline(begun: float, *overrides: str) -> dict[str, float]:
    """Train one step as `ner-lab train` does -> seconds since the process was started, at the end of each part."""
    marks = {"Python": time.monotonic() - begun}

    def mark(name: str) -> None:
        marks.setdefault(name, time.monotonic() - begun)

    def marked(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(*positional: Any, **named: Any) -> Any:
            given = call(*positional, **named)
            mark(name)
            return given

        return wrapped

    import ner_lab.cli.train as job

    mark("ner_lab.cli.train: Hydra, OmegaConf, NumPy")
    import torch

    assert torch.__version__
    mark("torch")
    import pytorch_lightning

    assert pytorch_lightning.__version__
    mark("torchmetrics, Lightning")
    import ner_lab.training.module as lit
    import ner_lab.training.train as train

    mark("ner_lab.training.train and what it needs")
    step = lit.TaggerModule.training_step

    def first_step(self: Any, *arguments: Any) -> Any:
        mark("tracker and trainer built, until the first step")
        return marked(step, "forward pass of the first step")(self, *arguments)

    lit.TaggerModule.training_step = first_step  # type: ignore[method-assign]
    train.check_values = marked(train.check_values, "config composed and checked")
    train.prepare = marked(train.prepare, "prepared data mapped")
    lit.build_tagger = marked(lit.build_tagger, "tagger built")
    sys.argv = ["ner-lab train", *overrides, "trainer.max_steps=1"]
    with suppress(SystemExit):  # no epoch was trained to its end
        job.main()
    return marks


def vectors(_: float, path: str, cache: str) -> dict[str, float]:
    """Look up 20,000 words of a file of vectors."""
    from ner_lab.data.vectors.store import read_stored

    with open(path, "rb") as file:
        wanted = {line.split(b" ", 1)[0].decode() for line in file.readlines(20_000_000)[:20_000]}
    before = measure.peak_memory()
    begun = time.perf_counter()
    words, matrix = read_stored(Path(path), wanted, Path(cache))
    spent = time.perf_counter() - begun
    assert len(words) == len(matrix)
    return {"seconds": spent, "mib": measure.peak_memory() - before}


def prepared(_: float, how: str, path: str) -> dict[str, float]:
    """Load the arrays of a cache entry, and read every number once; memory that is this process's own."""
    import numpy as np

    before = _own_memory()
    begun = time.perf_counter()
    arrays = [np.load(file, mmap_mode="c" if how == "mapped" else None) for file in sorted(Path(path).glob("*.npy"))]
    spent = time.perf_counter() - begun
    total = sum(float(array.sum(dtype="f8")) for array in arrays)
    return {"seconds": spent, "mib": _own_memory() - before, "sum": str(total)}  # type: ignore[dict-item]


def _own_memory() -> float:
    """MiB that this process has written, and shares with no other."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 2**10


# what is asked of them


def commands(rounds: int) -> dict[str, list[float]]:
    """Commands that answer a question, the bare interpreter and torch beside them."""
    jobs: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: seconds(sys.executable, "-c", "pass"),
        "ner-lab --help": lambda: ner_lab("--help"),
        "ner-lab --version": lambda: ner_lab("--version"),
        "ner-lab train --help": lambda: ner_lab("train", "--help"),
        "ner-lab predict --help": lambda: ner_lab("predict", "--help"),
        "ner-lab sweep --help": lambda: ner_lab("sweep", "--help"),
        "ner-lab train optimizer.lrr=1 (a mistake)": lambda: ner_lab("train", "optimizer.lrr=1", fails=True),
        "import ner_lab": lambda: seconds(sys.executable, "-c", "import ner_lab"),
        "import torch": lambda: seconds(sys.executable, "-c", "import torch"),
        "import pytorch_lightning": lambda: seconds(sys.executable, "-c", "import pytorch_lightning"),
    }
    for peer in ("flair", "spacy"):
        if find_spec(peer):
            jobs[f"import {peer}"] = lambda peer=peer: seconds(sys.executable, "-c", f"import {peer}")  # type: ignore[misc]
    times = measure.alternate(jobs, rounds)
    measure.show(
        "Commands and imports, seconds from the shell and back",
        ["command", "s", "lowest-highest"],
        [[name, measure.median(values), measure.spread(values, 2)] for name, values in times.items()],
    )
    slowest = max(measure.median(values) for name, values in times.items() if "help" in name)
    measure.goal("every --help", f"under {HELP_GOAL} s", f"{slowest:.2f} s", slowest < HELP_GOAL)
    return times


def first_steps(options: Namespace, rounds: int, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Where the time goes until the first step, for some configs."""
    configs = {"built-in corpus, logger=none": ["logger=none"], "built-in corpus, W&B offline": []}
    if options.data is not None and options.vectors is not None:
        named = ["paper=ma_hovy2016", "decoder=crf", f"data.dir={options.data.resolve()}"]
        named += [f"word_embedding.path={options.vectors.resolve()}", "data.verify=false"]
        configs["CoNLL-2003 with GloVe, logger=none"] = [*named, "logger=none"]
        configs["CoNLL-2003 with GloVe, W&B offline"] = named
    found: dict[str, list[dict[str, float]]] = {name: [] for name in configs}
    for turn in range(-1, rounds):  # the first makes the caches
        for name, overrides in configs.items():
            marks = inside("timeline", *overrides, f"hydra.run.dir={folder / 'run'}")
            shutil.rmtree(folder / "run")
            if turn >= 0:
                found[name].append(marks)
    parts = list(found[next(iter(found))][0])
    ends = {name: [measure.median([marks[part] for marks in runs]) for part in parts] for name, runs in found.items()}
    rows = [[part, *(times[index] for times in ends.values())] for index, part in enumerate(parts)]
    measure.show("`ner-lab train`: seconds from the shell until the end of each part", ["part", *ends], rows)
    measure.note("A part's own time is the difference to the line above; the last line is when the first step has run.")
    slowest = max(times[-1] for times in ends.values())
    measure.goal("train to the first step", f"under {STEP_GOAL:g} s", f"{slowest:.2f} s", slowest < STEP_GOAL)
    return found


def made_vectors(folder: Path, words: int) -> Path:
    """A text file like GloVe's: the same thousand vectors again and again."""
    import numpy as np

    numbers = np.random.default_rng(1).normal(size=(1000, DIM)) * 0.4
    rows = [" ".join(f"{number:.5g}" for number in row) for row in numbers]
    path = folder / "vectors.txt"
    path.write_text("".join(f"w{number} {rows[number % 1000]}\n" for number in range(words)), encoding="utf-8")
    return path


def word_vectors(options: Namespace, rounds: int, folder: Path) -> dict[str, list[dict[str, float]]]:
    """The first and the second reading of a file of vectors."""
    path = options.vectors or made_vectors(folder, QUICK_WORDS if options.quick else WORDS)
    times: dict[str, list[dict[str, float]]] = {"first": [], "second": []}
    for turn in range(rounds):
        for name, found in times.items():
            found.append(inside("vectors", path, folder / f"vectors{turn}"))
            assert name
        shutil.rmtree(folder / f"vectors{turn}")
    rows = [
        [name, *(measure.median([run[key] for run in found]) for key in ("seconds", "mib"))]
        for name, found in times.items()
    ]
    size = path.stat().st_size >> 20
    measure.show(f"Reading a text file of word vectors ({size} MiB)", ["reading", "s", "MiB at most"], rows)
    measure.note("The first one reads, checks and keeps all words, its checksum included; both give 20,000 of them.")
    for (name, value, _), limit in zip(rows, (FIRST_GOAL, SECOND_GOAL), strict=True):
        measure.goal(f"{name} reading of GloVe", f"under {limit:g} s", f"{value:.2f} s", value < limit)
    return times


def prepared_data(rounds: int, cache: Path) -> dict[str, list[dict[str, float]]]:
    """Arrays of the largest cache entry: mapped, and read."""
    sizes = {path: _size(path) for path in (cache / "prepared").iterdir() if path.is_dir()}
    largest = max(sizes, key=lambda path: sizes[path])
    times: dict[str, list[dict[str, float]]] = {"read": [], "mapped": []}
    for _ in range(rounds):
        for how, found in times.items():
            found.append(inside("prepared", how, largest))
    assert len({run["sum"] for runs in times.values() for run in runs}) == 1
    rows = [
        [name, *(measure.median([run[key] for run in found]) for key in ("seconds", "mib"))]
        for name, found in times.items()
    ]
    size = sizes[largest] >> 20
    measure.show(f"Prepared data from the cache ({size} MiB)", ["how", "s", "MiB of its own"], rows)
    measure.note("Memory after every number was read once: mapped pages are shared by all processes of a machine.")
    return times


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.npy"))


def main() -> None:
    if "--inside" in sys.argv:
        what, begun, *arguments = sys.argv[sys.argv.index("--inside") + 1 :]
        print(
            json.dumps({"timeline": timeline, "vectors": vectors, "prepared": prepared}[what](float(begun), *arguments))
        )
        return
    options = measure.parser(__doc__ or "").parse_args()
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"NER_LAB_CACHE": str(folder / "cache"), "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
        figures = {
            "commands": commands(rounds),
            "first_step": first_steps(options, rounds, folder),
            "vectors": word_vectors(options, min(rounds, 3), folder),
            "prepared": prepared_data(rounds, folder / "cache"),
        }
    measure.save("startup", figures)


if __name__ == "__main__":
    main()
