"""What all benchmarks share: run in turn, take medians, print a table, save JSON.

A script prints its tables with `show`, says what a reader must know with `note`, and ends with `save`:

    times = alternate({"ours": ours, "theirs": theirs}, rounds=5)
    show("CRF", ["layer", "ms"], [[name, 1000 * median(values)] for name, values in times.items()])
    save("crf", {"crf": times})

docs/performance.py prints all that was shown, noted and aimed at; it draws plots from the figures of some scripts.
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(os.environ.get("NER_LAB_BENCH_RESULTS") or Path(__file__).parent / "results")
_PACKAGES = (
    "ner-lab",
    "torch",
    "numpy",
    "pytorch-lightning",
    "flair",
    "spacy",
    "pytorch-crf",
    "torch-struct",
)
_PACKAGES += ("TorchCRF",)
_ANSWER = "answer: "  # a worker's libraries print other lines

_tables: list[dict[str, Any]] = []
_notes: list[str] = []
_goals: list[dict[str, Any]] = []


def alternate(jobs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each job gives (a time or a rate that it measures itself), `rounds` times: all jobs in turn, round by round.

    So a slow minute of the machine falls on all of them alike.
    """
    measured: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            measured[name].append(job())
    return measured


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the rounds of ours / theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Lowest and highest value, for a cell of a table: `1,732-2,348`."""
    return f"{min(values):,.{digits}f}-{max(values):,.{digits}f}"


def peak_memory() -> float:
    """MiB that this process held at most so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def child(arguments: Sequence[str], threads: int | None = None) -> dict[str, Any]:
    """Run a Python script in a fresh process: the JSON object that it prints on its last line."""
    environment = dict(os.environ)
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)
    if ran.returncode:
        raise RuntimeError(
            f"{' '.join(arguments)} ended with {ran.returncode}:\n{ran.stdout[-2000:]}{ran.stderr[-4000:]}"
        )
    return json.loads(ran.stdout.strip().splitlines()[-1])


class Worker:
    """A Python script in another process that calls `serve`: a question goes to it as JSON, its answer comes back.

    It keeps what it has built, and takes no processor time while nobody asks.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process: Any = subprocess.Popen([sys.executable, *arguments], text=True, **pipes)
        self._errors: list[str] = []
        threading.Thread(target=lambda: self._errors.extend(self._process.stderr), daemon=True).start()
        self.ask()

    def ask(self, **question: Any) -> Any:
        """Its answer; an empty question is answered when it is ready."""
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = next((line for line in self._process.stdout if line.startswith(_ANSWER)), None)
        except BrokenPipeError:
            answer = None
        if answer is None:
            code = self._process.wait()
            raise RuntimeError(f"{self._process.args} ended with {code}:\n{''.join(self._errors)[-4000:]}")
        return json.loads(answer.removeprefix(_ANSWER))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def serve(answer: Callable[[dict[str, Any]], Any]) -> None:
    """Answer a `Worker`'s questions until it closes."""
    for line in sys.stdin:
        question = json.loads(line)
        print(_ANSWER + json.dumps(answer(question) if question else "ready"), flush=True)


def parser(description: str) -> argparse.ArgumentParser:
    """The options that the scripts share."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--data", type=Path, help="folder of CoNLL-2003 (default: the built-in corpus)")
    options.add_argument("--vectors", type=Path, help="GloVe text file (default: random vectors)")
    options.add_argument("--quick", action="store_true", help="smallest sizes and no peers: shows that it runs")
    return options


def machine() -> dict[str, Any]:
    """What was measured on: processor, cores, threads, GPU, versions; nothing that names the machine or its user."""
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Print a table; `save` writes all that were shown. Numbers are rounded to three or more places that count."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    numeric = [all(_is_number(row[index]) for row in rows) for index in range(len(header))]
    print(f"\n{title}")
    for row in [list(header), *cells]:
        padded = (c.rjust(w) if right else c.ljust(w) for c, w, right in zip(row, widths, numeric, strict=True))
        print("  " + "  ".join(padded).rstrip())
    sys.stdout.flush()
    table = {"title": title, "header": list(header), "rows": cells, "numeric": numeric}
    _tables.append(table)
    return table


def note(text: str) -> None:
    """A sentence that belongs to the figures: what exactly is timed, what was not run and why."""
    print(f"  {text}", flush=True)
    _notes.append(text)


def goal(what: str, wanted: str, measured: str, reached: bool) -> None:
    """A figure that was aimed at, beside what was measured: `goal("start", "under 6 s", "4.1 s", True)`."""
    print(f"  {'reached' if reached else 'NOT reached'}: {what}: {measured}, goal {wanted}", flush=True)
    _goals.append({"what": what, "goal": wanted, "measured": measured, "reached": reached})


def save(name: str, figures: Mapping[str, Any]) -> Path:
    """Write results/NAME.json: machine, date, command line, what was shown and noted, and `figures` in full."""
    content = {
        "name": name,
        "machine": machine(),
        "command": command_line(sys.argv),
        "date": datetime.now(UTC).date().isoformat(),
        "goals": list(_goals),
        "tables": list(_tables),
        "notes": list(_notes),
        "figures": figures,
    }
    for shown in (_goals, _tables, _notes):
        shown.clear()
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(content, indent=1, allow_nan=False, default=_plain) + "\n", encoding="utf-8")
    print(f"\nsaved {file.parent.name}/{file.name}")
    return file


def command_line(arguments: Sequence[str]) -> str:
    """The command without this machine's folders: of a path that starts at the root, its last part."""
    script, *rest = arguments
    shown = [re.sub(r"(?:^|(?<==))[/~]\S*?([^/\s]+)/?$", r"\1", argument) for argument in rest]
    return " ".join(["python", f"benchmarks/{Path(script).name}", *shown])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _plain(value: Any) -> Any:
    """Numbers of numpy and torch as plain ones."""
    return value.item() if getattr(value, "ndim", None) == 0 else value.tolist()


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    name = facts.get("model name", platform.processor())
    return f"{name} (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else name


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
