"""Several seeds: single runs, or one stacked model?

    python benchmarks/stack.py --data FOLDER                     on CoNLL-2003; without it on the built-in corpus
    python benchmarks/stack.py --data FOLDER --accelerator gpu   on a GPU

Studies of k seeds by `ner-lab train -m`, with the launcher of single runs and with that of `ner-lab stack`.
"""

import tempfile
from argparse import Namespace
from pathlib import Path

import measure
from product import MA_HOVY, source
from study import run_study

SEEDS = (1, 2, 5)
STACK = "hydra/launcher=stack"
WAYS = {
    "single runs, one at a time": ["hydra.launcher.n_jobs=1"],
    "single runs, two at once": ["hydra.launcher.n_jobs=2"],
    "stacked, run after run at each step": [STACK, "hydra.launcher.together=false"],
    "stacked, all runs in one operation": [STACK, "hydra.launcher.together=true"],
    "stacked, all in one, and all on the first one's batches": [
        STACK,
        "hydra.launcher.together=true",
        "hydra.launcher.order=shared",
    ],
}


def overrides(options: Namespace, seeds: int) -> list[str]:
    epochs, batches = (1, 2) if options.quick else (3, 150)
    return [
        *MA_HOVY,
        *source(options.data, options.vectors),
        f"trainer={'gpu' if options.accelerator == 'gpu' else 'cpu'}",
        f"trainer.max_epochs={epochs}",
        f"trainer.limit_train_batches={batches}",
        f"seed={','.join(str(seed) for seed in range(1, seeds + 1))}",
        "logger=none",
    ]


def main() -> None:
    parser = measure.parser(__doc__ or "")
    parser.add_argument("--accelerator", choices=("cpu", "gpu"), default="cpu")
    options = parser.parse_args()
    rows: list[list[object]] = []
    figures: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run_study([*overrides(options, 1), *WAYS["single runs, one at a time"]], Path(folder, "caches"))
        for name, way in WAYS.items():
            figures[name] = {}
            for seeds in SEEDS[:2] if options.quick else SEEDS:
                place = Path(folder, str(len(rows)), str(seeds))
                figures[name][seeds] = run_study([*overrides(options, seeds), *way], place)["together"]
            rows.append([name, *figures[name].values()])
    columns = [f"{seeds} seed{'s' if seeds > 1 else ''}" for seeds in figures[name]]
    measure.show("Tokens per second of all runs together, one thread a process", ["launcher", *columns], rows)
    measure.note(
        "Stacking is for a GPU, where a step of a single run leaves most of the card idle: "
        + ("this is one." if options.accelerator == "gpu" else "this is a CPU, where single runs side by side do more.")
    )
    measure.save("stack", figures)


if __name__ == "__main__":
    main()
