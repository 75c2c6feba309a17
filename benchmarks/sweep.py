"""Two cores, one study: two jobs of one thread at a time, or one job of two threads?

    python benchmarks/sweep.py --data FOLDER      on CoNLL-2003; without it on the built-in corpus

Studies of two seeds run by `ner-lab train -m` and its own launcher; the figures are those of its closing line.
"""

import tempfile
from argparse import Namespace
from pathlib import Path

import measure
from product import MA_HOVY, source
from study import run_study

WAYS = {"two jobs at once, a thread each": (2, 1), "one job at a time, two threads": (1, 2)}
"""Jobs at once, threads of each."""
ROUNDS = 3


def settings(options: Namespace, at_once: int, threads: int) -> list[str]:
    epochs, batches = (1, 2) if options.quick else (3, 400)
    return [
        *MA_HOVY,
        *source(options.data, options.vectors),
        f"threads={threads}",
        f"hydra.launcher.n_jobs={at_once}",
        f"trainer.max_epochs={epochs}",
        f"trainer.limit_train_batches={batches}",
        "seed=1,2",
        "logger=none",
    ]


def main() -> None:
    options = measure.parser(__doc__ or "").parse_args()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        run_study(settings(options, 1, 1), Path(folder, "first"))  # makes the caches
        for turn in range(1 if options.quick else ROUNDS):
            for name, (at_once, threads) in WAYS.items():
                found[name].append(run_study(settings(options, at_once, threads), Path(folder, f"{at_once}-{turn}")))
    rows = [
        [name, *(measure.median([run[key] for run in runs]) for key in ("together", "job", "seconds"))]
        for name, runs in found.items()
    ]
    measure.show(
        "A study of two jobs on two cores",
        ["launcher", "tokens/s together", "tokens/s of a job in training", "s for the study"],
        rows,
    )
    measure.note(
        "Together: tokens trained on, over the time in which jobs ran, scoring of dev and test included; "
        "the seconds are those of the whole command, start of every process included."
    )
    together, alone = (row[1] for row in rows)
    measure.goal(
        "the launcher's default, a thread for each job",
        "more tokens/s than one job of two threads",
        f"{together / alone:.2f} times",
        together > alone,
    )
    measure.save("sweep", found)


if __name__ == "__main__":
    main()
