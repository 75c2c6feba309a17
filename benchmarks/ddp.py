"""Strong scaling: one model trained by several processes, the global batch the same.

    python benchmarks/ddp.py                                  one and two processes on the CPU
    python benchmarks/ddp.py --accelerator gpu                1, 2, 4, 8 GPUs, as many as there are

Beside it what the same processors do as single jobs side by side, which is how sweeps run.
"""

import tempfile
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import measure
from product import MA_HOVY, source, train_rates


class Plan(NamedTuple):
    """Which batches are measured, and for how long."""

    batches: tuple[int, ...] = (10, 64, 512)
    epochs: int = 3
    epoch_tokens: int = 20_000


GPU = Plan(batches=(10, 32, 128, 512, 2048), epochs=4, epoch_tokens=200_000)
QUICK = Plan(batches=(10,), epochs=2, epoch_tokens=300)


def rate(options: Namespace, plan: Plan, batch: int, devices: int) -> float:
    """Tokens per second of one job on so many devices, median of the epochs after the first."""
    overrides = [
        *MA_HOVY,
        *source(options.data, options.vectors),
        f"data.batch_size={batch}",
        "logger=none",
        f"trainer={'ddp' if devices > 1 else options.accelerator}",
        f"trainer.accelerator={options.accelerator}",
        f"trainer.devices={devices}",
        f"trainer.max_epochs={plan.epochs}",
        f"trainer.limit_train_batches={max(1, plan.epoch_tokens // 14 // batch)}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        return measure.median(train_rates(overrides, Path(folder) / "run")[1:])


def side_by_side(options: Namespace, plan: Plan, batch: int, jobs: int) -> float:
    """Tokens per second of so many jobs on one device each, at the same time, all together."""
    with ThreadPoolExecutor(jobs) as pool:
        return sum(pool.map(lambda _: rate(options, plan, batch, 1), range(jobs)))


def numbers(options: Namespace) -> list[int]:
    """How many devices are tried."""
    if options.accelerator == "cpu":
        return [1, 2]
    import torch

    return [number for number in (1, 2, 4, 8) if number <= torch.cuda.device_count()]


def scaling(options: Namespace, plan: Plan) -> dict[str, dict[str, Any]]:
    """Batch -> tokens per second of one job on 1, 2, ... devices, and of single jobs side by side."""
    found: dict[str, dict[str, Any]] = {}
    for batch in plan.batches:
        jobs = {str(number): lambda n=number, b=batch: rate(options, plan, b, n) for number in numbers(options)}
        if options.accelerator == "cpu":  # GPUs need CUDA_VISIBLE_DEVICES for each job: `ner-lab sweep` gives it
            jobs["side by side"] = lambda b=batch: side_by_side(options, plan, b, numbers(options)[-1])
        found[str(batch)] = {name: rates[0] for name, rates in measure.alternate(jobs, 1).items()}
    return found


def pays_from(found: dict[str, dict[str, Any]], devices: str) -> str | None:
    """The smallest batch from which on more devices are a tenth faster than one, at every larger batch too."""
    paying = None
    for batch in sorted(found, key=int, reverse=True):
        if found[batch][devices] < 1.1 * found[batch]["1"]:
            break
        paying = batch
    return paying


def main() -> None:
    parser = measure.parser(__doc__.splitlines()[0])
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    options = parser.parse_args()
    plan = QUICK if options.quick else GPU if options.accelerator == "gpu" else Plan()
    found = scaling(options, plan)
    unit = "processes" if options.accelerator == "cpu" else "GPUs"
    several = [str(number) for number in numbers(options)[1:]]
    header = ["global batch", "1", *(part for number in several for part in (f"{number} {unit}", "speed-up"))]
    together = options.accelerator == "cpu"
    rows = [
        [int(batch), rates["1"], *(cell for n in several for cell in (rates[n], f"{rates[n] / rates['1']:.2f}x"))]
        + ([rates["side by side"], f"{rates['side by side'] / rates['1']:.2f}x"] if together else [])
        for batch, rates in found.items()
    ]
    header += ["2 jobs side by side", "speed-up"] if together else []
    measure.show("One model on several processes (tokens/s)", header, rows)
    measure.note(
        "Strong scaling: the global batch stays, each process takes its part of it; one thread a process. Figures are "
        "the product's own, of whole training steps after a first epoch; the last columns are separate jobs added up."
    )
    if several:
        batch = pays_from(found, several[-1])
        begins = (
            f"pays from a global batch of {batch} on (a tenth faster or more)"
            if batch
            else "pays at none of these batches"
        )
        measure.note(
            f"{several[-1]} {unit} for one model: it {begins}. Every step waits for gradients to be added up over "
            "processes. For models of this size one job per device is better: seeds and configurations share nothing."
        )
    name = "ddp" if options.accelerator == "cpu" else "ddp_gpu"
    measure.save(name, {"accelerator": options.accelerator, "tokens_per_second": found})


if __name__ == "__main__":
    main()
