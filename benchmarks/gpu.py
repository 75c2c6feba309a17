"""One GPU: a run's speed, the CRF, what a step waits for, CUDA graphs, several runs on one card, a study.

Sizes of Ma & Hovy (2016): char-CNN of 30 filters, words of 100, BiLSTM of 200 a direction, CRF, dropout .5, SGD.

    python benchmarks/gpu.py --data FOLDER           on CoNLL-2003; without it on the built-in corpus
    python benchmarks/gpu.py --only run waits        some parts alone
    python benchmarks/gpu.py --device cpu --tiny     shows that the script runs where there is no GPU

From one GPU to eight: benchmarks/ddp.py --accelerator gpu.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import measure
import torch
from product import MA_HOVY, Parts, batches, build, config, loop, source, step
from torch import Tensor

from ner_lab.models.decoder.chain import forward_backward, viterbi

STUDY_GOAL = 300  # seconds for 5 seeds of 50 epochs
FLOP_A_TOKEN = 3 * 2 * (2 * 4 * 200 * (130 + 200) + 400 * 17 + 4.4 * 3 * 30 * 30)
"""Forward and twice that backward: the LSTM's gates both ways, the scores of 17 tags, the letters' filters."""
MISSING = 2  # exit code where there is no GPU


class Plan(NamedTuple):
    """What is measured, and how long everything takes."""

    batches: tuple[int, ...] = (10, 32)
    steps: int | None = None  # of an epoch; all of them
    rounds: int = 3
    profiled: int = 50
    chains: tuple[tuple[int, int, int], ...] = ((10, 15, 9), (32, 30, 17), (128, 40, 17), (32, 128, 73))
    repeats: int = 100
    matrix: int = 8192
    jobs: tuple[int, ...] = (1, 2, 4, 8)
    job_epochs: int = 5
    seeds: int = 5
    study_epochs: int = 50


TINY = Plan((4,), 3, 1, 2, ((2, 3, 4),), 2, 64, (1, 2), 1, 2, 1)


class Precision(NamedTuple):
    """How numbers are multiplied."""

    matmul: str  # torch.set_float32_matmul_precision
    cudnn_tf32: bool
    half: bool


PRECISIONS = {
    "fp32": Precision("highest", False, False),
    "tf32": Precision("high", True, False),
    "bf16": Precision("high", True, True),
}


@contextmanager
def multiplying(precision: Precision, device: torch.device) -> Iterator[None]:
    """Within it, products are taken so; afterwards as before."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(precision.matmul)
    torch.backends.cudnn.allow_tf32 = precision.cudnn_tf32
    half: AbstractContextManager[Any] = torch.autocast(device.type, torch.bfloat16) if precision.half else nullcontext()
    try:
        with half:
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def finish(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Seconds of one go, the device's own work included."""
    work()
    finish(device)
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    finish(device)
    return (time.perf_counter() - begun) / repeats


def overrides_of(options: Namespace, batch: int) -> list[str]:
    return [*MA_HOVY, *source(options.data, options.vectors), f"data.batch_size={batch}", "logger=none"]


def parts_of(options: Namespace, batch: int) -> Parts:
    """The product's parts on the device, batches included."""
    parts = build(config(overrides_of(options, batch)))
    place = SimpleNamespace(root_device=torch.device(options.device))
    parts.loaders.trainer = SimpleNamespace(global_rank=0, world_size=1, strategy=place)
    parts.module.to(options.device)
    torch.utils.deterministic.fill_uninitialized_memory = False
    return parts._replace(optimizer=parts.module.recipe.optimizer(parts.module.tagger))


# one run


def one_run(options: Namespace, plan: Plan) -> dict[str, Any]:
    """Tokens per second of the bare loop in each precision, and how busy the card is meanwhile."""
    device = torch.device(options.device)
    found: dict[str, Any] = {}
    peaks = {name: _peak(precision, plan, device) for name, precision in PRECISIONS.items()}
    rows = []
    for batch in plan.batches:
        parts = parts_of(options, batch)
        epoch_tokens = int(parts.prepared.splits["train"].sentence_lengths.sum())

        def rate(precision: Precision, parts: Parts = parts) -> float:
            with multiplying(precision, device):
                loop(parts, epoch=0, limit=min(20, plan.steps or 20))
                finish(device)
                begun = time.perf_counter()
                _, tokens, _ = loop(parts, epoch=1, limit=plan.steps)
                finish(device)
                return tokens / (time.perf_counter() - begun)

        jobs = {name: lambda p=precision: rate(p) for name, precision in PRECISIONS.items()}
        with Utilisation(device) as busy:
            rates = measure.alternate(jobs, plan.rounds)
        for name, measured in rates.items():
            tokens = measure.median(measured)
            share = f"{100 * tokens * FLOP_A_TOKEN / peaks[name]:.2f} %"
            rows.append([batch, name, tokens, measure.spread(measured), epoch_tokens / tokens, share, busy.mean])
        found[str(batch)] = {"rates": rates, "utilisation": busy.mean}
    header = ["batch", "precision", "tokens/s", "range", "s an epoch", "of a large product's FLOP/s", "GPU busy, %"]
    measure.show("One run, bare loop", header, rows)
    measure.note(
        "GPU busy: share of time in which any kernel runs (nvidia-smi), all precisions of a batch size together."
    )
    return {"loop": found, "product_flops": peaks}


def _peak(precision: Precision, plan: Plan, device: torch.device) -> float:
    """FLOP a second of one large matrix product."""
    one, other = torch.randn(2, plan.matrix, plan.matrix, device=device)
    with multiplying(precision, device):
        return 2 * plan.matrix**3 / seconds_of(lambda: one @ other, 5, device)


class Utilisation:
    """Asks nvidia-smi twice a second, in a thread, how busy the card is."""

    def __init__(self, device: torch.device) -> None:
        self.asked = device.type == "cuda"
        self.seen: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    @property
    def mean(self) -> float | None:
        return sum(self.seen) / len(self.seen) if self.seen else None

    def __enter__(self) -> "Utilisation":
        if self.asked:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self.asked:
            self._thread.join()

    def _ask(self) -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        while not self._over.wait(0.5):
            try:
                said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
                self.seen.append(float(said))
            except (OSError, ValueError, subprocess.SubprocessError):
                return


# the CRF


def crf(options: Namespace, plan: Plan) -> dict[str, Any]:
    """Milliseconds of likelihood with gradient, and of the best path."""
    device = torch.device(options.device)
    found: dict[str, Any] = {}
    rows = []
    for batch, time_, tags in plan.chains:
        emissions, start, transitions, end, gold, mask = _chain(batch, time_, tags, device)
        scores = (start, transitions, end)

        def learn(emissions: Any = emissions, scores: Any = scores, gold: Any = gold, mask: Any = mask) -> None:
            value = forward_backward.log_likelihood(emissions, gold, mask, *scores).sum()
            torch.autograd.grad(value, (emissions, *scores))

        def search(emissions: Any = emissions, scores: Any = scores, mask: Any = mask) -> None:
            viterbi.viterbi(emissions.detach(), mask, *(part.detach() for part in scores))

        learnt = 1000 * seconds_of(learn, plan.repeats, device)
        searched = 1000 * seconds_of(search, plan.repeats, device)
        rows.append([f"({batch}, {time_}, {tags})", learnt, searched])
        found[f"{batch},{time_},{tags}"] = {"likelihood": learnt, "best_path": searched}
    measure.show("CRF", ["batch, time, tags", "likelihood and gradient, ms", "best path, ms"], rows)
    return found


def _chain(batch: int, time_: int, tags: int, device: torch.device) -> tuple[Tensor, ...]:
    """Emissions, start, transitions, end, gold tags and mask; sentences are of half to the full length."""
    drawn = torch.Generator().manual_seed(0)
    scores = [torch.randn(shape, generator=drawn) for shape in ((batch, time_, tags), (tags,), (tags, tags), (tags,))]
    gold = torch.randint(tags, (batch, time_), generator=drawn)
    lengths = torch.randint((time_ + 1) // 2, time_ + 1, (batch,), generator=drawn)
    mask = torch.arange(time_) < lengths[:, None]
    return *(score.to(device).requires_grad_() for score in scores), gold.to(device), mask.to(device)


# what a step waits for

COUNTED = {
    "kernels": ("cudaLaunchKernel", "cuLaunchKernel"),
    "synchronisations": ("cudaStreamSynchronize", "cudaEventSynchronize"),
    "copies": ("Memcpy DtoH",),
    "read": ("aten::_local_scalar_dense",),
}
"""Names that the profiler gives to what is counted; it waits for the device itself when it ends."""


def waits(options: Namespace, plan: Plan) -> dict[str, Any]:
    """Calls in which the processor waits for the card, for each step, as the profiler counts them."""
    device = torch.device(options.device)
    found: dict[str, Any] = {}
    rows = []
    for batch in plan.batches:
        parts = parts_of(options, batch)
        loop(parts, epoch=0, limit=min(20, plan.steps or 20))
        finish(device)
        ready = list(itertools.islice(batches(parts, epoch=1), plan.profiled))
        counts = _profiled(lambda: [step(parts, batch) for batch in ready], device)  # noqa: B023 - called at once
        each = {name: count / len(ready) for name, count in counts.items()}
        each["raises"] = _first_wait(parts, ready, device)
        rows.append([batch, *each.values()])
        found[str(batch)] = each
    header = ["batch", "kernels", "synchronisations", "copies to the processor", "numbers read", "first wait"]
    measure.show("A training step", header, rows)
    measure.note("First wait: what torch.cuda.set_sync_debug_mode('error') refuses; - is nothing.")
    return found


def _profiled(work: Callable[[], Any], device: torch.device) -> dict[str, int]:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        work()  # nothing waits at its end: that would count
    events = [(event.key, event.count) for event in profile.key_averages()]
    return {what: sum(count for key, count in events if key.startswith(names)) for what, names in COUNTED.items()}


def _first_wait(parts: Parts, ready: list[Any], device: torch.device) -> str | None:
    """What torch says where a step first waits; None for none."""
    if device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in ready:
            step(parts, batch)
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


# CUDA graphs


def graphs(options: Namespace, plan: Plan) -> dict[str, Any]:
    """What a step costs as a graph that is replayed: an upper bound of what graphs for each shape could win.

    One batch, again and again, so nothing is copied into the graph's inputs and none of it is padded.
    """
    device = torch.device(options.device)
    found: dict[str, Any] = {}
    rows = []
    for batch in plan.batches:
        parts = parts_of(options, batch)
        one = next(batches(parts))
        eager = 1000 * seconds_of(lambda: step(parts, one), plan.repeats, device)  # noqa: B023 - called at once
        replayed = 1000 * seconds_of(_captured(parts, one), plan.repeats, device) if device.type == "cuda" else None
        rows.append([batch, eager, replayed, eager / replayed if replayed else None])
        found[str(batch)] = {"eager": eager, "replayed": replayed}
    measure.show("CUDA graphs, upper bound", ["batch", "a step, ms", "replayed, ms", "ratio"], rows)
    return found


def _captured(parts: Parts, batch: Any) -> Callable[[], None]:
    """The whole step as a graph; torch's generator takes part, so each replay draws dropout of its own."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step(parts, batch)
    torch.cuda.current_stream().wait_stream(aside)
    parts.optimizer.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(parts, batch)
    return graph.replay


# several runs


def sweep(options: Namespace, plan: Plan, seeds: int, epochs: int, launcher: list[str]) -> dict[str, float]:
    """So many seeds through `ner-lab train --multirun` -> seconds in all, tokens per second of all, lowest of one."""
    trainer = "gpu" if options.device == "cuda" else "cpu"
    limits = [] if plan.steps is None else [f"trainer.limit_train_batches={plan.steps}"]
    settings = [
        *overrides_of(options, plan.batches[0]),
        f"trainer={trainer}",
        f"trainer.max_epochs={epochs}",
        *limits,
        f"seed={','.join(map(str, range(1, seeds + 1)))}",
        *launcher,
    ]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "ner_lab.cli.main",
            "train",
            "--multirun",
            *settings,
            f"hydra.sweep.dir={folder}",
        ]
        begun = time.perf_counter()
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begun
        files = sorted(Path(folder).rglob("metrics.json"))
        if ran.returncode or len(files) < seeds:
            raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        rates = [json.loads(file.read_text(encoding="utf-8"))["train_tokens_per_second"] for file in files]
    return {"seconds": seconds, "tokens_per_second": sum(rates), "slowest": min(rates)}


def side_by_side(jobs: int) -> list[str]:
    return [f"hydra.launcher.jobs_per_gpu={jobs}"]


def jobs(options: Namespace, plan: Plan) -> dict[str, Any]:
    """One card: several runs at once, a process each."""
    found = {}
    for number in plan.jobs:
        found[f"{number} processes"] = sweep(options, plan, number, plan.job_epochs, side_by_side(number))
    alone = found["1 processes"]["tokens_per_second"]
    rows = [[name, *run.values(), run["tokens_per_second"] / alone] for name, run in found.items()]
    header = ["runs at once", "s in all", "tokens/s, all together", "slowest run", "against one"]
    measure.show(f"Several runs on one card, batch {plan.batches[0]}, {plan.job_epochs} epochs", header, rows)
    measure.note(
        "Seconds in all begin at the shell and end with dev and test scored; tokens per second are of training."
    )
    return found


def study(options: Namespace, plan: Plan) -> dict[str, Any]:
    """A whole study: all seeds, all epochs, from the shell to the last score."""
    settings = ["early_stopping.patience=null", *side_by_side(plan.seeds)]
    found = {"processes": sweep(options, plan, plan.seeds, plan.study_epochs, settings)}
    title = f"A study of {plan.seeds} seeds x {plan.study_epochs} epochs, batch {plan.batches[0]}"
    measure.show(
        title, ["way", "s in all", "tokens/s"], [[name, *list(run.values())[:2]] for name, run in found.items()]
    )
    if options.device == "cuda" and not options.quick:
        least = min(run["seconds"] for run in found.values())
        measure.goal(title, f"under {STUDY_GOAL} s", f"{least:,.0f} s", least < STUDY_GOAL)
    return found


PARTS: dict[str, Callable[[Namespace, Plan], dict[str, Any]]] = {
    "run": one_run,
    "crf": crf,
    "waits": waits,
    "graphs": graphs,
    "jobs": jobs,
    "study": study,
}


def main() -> None:
    parser = measure.parser(__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu shows that the script runs")
    parser.add_argument("--tiny", dest="quick", action="store_true", help="the same as --quick")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            f"There is no GPU that torch {torch.__version__} can use, so nothing was measured. On a machine with one, "
            "install a CUDA build of torch; here `--device cpu --tiny` shows that the script runs.",
            file=sys.stderr,
        )
        raise SystemExit(MISSING)
    plan = TINY if options.quick else Plan()
    figures = {name: PARTS[name](options, plan) for name in options.only}
    measure.save("gpu", {"device": options.device, **figures})


if __name__ == "__main__":
    main()
