"""Studies made by hand: folders with the files that runs leave, scores as a test wants them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ner_lab.evaluation.precision_recall import span_scores

SENTENCES = (
    ("Anna/B-PER Holm/I-PER lives/O in/O Oslo/B-LOC", 2),
    ("Nordbank/B-ORG moved/O to/O Bergen/B-LOC", 2),
    ("It/O rained/O", 0),
    ("Jonas/B-PER met/O Ida/B-PER Berg/I-PER", 2),
    ("The/O ferry/O left/O Bergen/B-LOC", 1),
)
"""`word/tag` and the number of entities"""
GOLD = sum(number for _, number in SENTENCES)


def predictions(wrong: Sequence[int] = (), repeats: int = 1) -> str:
    """A prediction file; in the sentences numbered in `wrong` nothing is found."""
    blocks = []
    for number, (sentence, _) in enumerate(SENTENCES * repeats):
        pairs = [item.split("/") for item in sentence.split()]
        blocks.append("".join(f"{word} {tag} {'O' if number in wrong else tag}\n" for word, tag in pairs))
    return "\n".join(blocks)


def scores(f1: float | None = None, wrong: Sequence[int] = (), repeats: int = 1) -> dict[str, Any]:
    """Scores of a split: those of `predictions(wrong)`, or any F1 there is to be."""
    found = GOLD * repeats - sum((SENTENCES * repeats)[number][1] for number in set(wrong))
    whole = span_scores(found, found, GOLD * repeats)
    if f1 is not None:
        whole |= {"precision": f1, "recall": f1, "f1": f1}
    parts = {"LOC": span_scores(3, 3, 3), "PER": span_scores(2, 3, 3), "MISC": span_scores(0, 0, 0)}
    return {**whole, "accuracy": 97.5, "tokens": 19 * repeats, "sentences": 5 * repeats, "per_type": parts, "oov": None}


def metrics(seed: int = 1, dev: float | None = 80.0, test: float | None = 70.0, **others: Any) -> dict[str, Any]:
    """The metrics.json of a finished run."""
    splits = {name: scores(f1) for name, f1 in (("dev", dev), ("test", test)) if f1 is not None}
    return {
        "status": "ok",
        "failure": None,
        "best_epoch": 3,
        "seed": seed,
        "train_on": ["train"],
        "epochs": 5,
        "train_seconds": 40.0,
        "train_tokens_per_second": 1000.0,
        "data_seconds": 1.0,
        "parameters": {"word embedding": 900, "decoder": 100},
        "coverage": None,
        **splits,
        "history": [{"epoch": 1, "train_loss": 1.0, "dev_loss": 0.5, "dev": {"f1": 75.0}, "seconds": 8.0}],
        **others,
    }


RECORD = {
    "command": ["/bin/ner-lab", "train"],
    "versions": {"ner-lab": "0.1.0", "torch": "2.13.0"},
    "git": {"commit": "877fc50aaaabbbbcccc", "changed": False},
    "code": "3f2a91c0" * 8,
    "machine": {"system": "Linux", "processor": "AMD EPYC", "threads": 1},
}
CONFIG = {"data": {"name": "builtin", "batch_size": 10}, "char_encoder": {"dim": 30}, "decoder": {"x": 1}, "threads": 1}


def write_run(
    folder: Path,
    content: Mapping[str, Any] | str | None,
    *,
    record: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    wrong: Sequence[int] | None = None,
) -> Path:
    """Write a run folder; content: of metrics.json, None for none. wrong: see `predictions`; None for no file."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(RECORD if record is None else record))
    seed = content.get("seed", 1) if isinstance(content, Mapping) else 1
    (folder / "config.yaml").write_text(yaml.safe_dump({**(config or CONFIG), "seed": seed}))
    if wrong is not None:
        (folder / "predictions").mkdir()
        (folder / "predictions" / "test.conll").write_text(predictions(wrong))
    if content is not None:
        (folder / "metrics.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def job(configuration: str, seed: int, label: str | None = None) -> dict[str, Any]:
    """An entry of study.yaml's jobs."""
    choices = dict(pair.split("=") for pair in configuration.split(","))
    folder = f"{configuration}/seed={seed}"
    return {"folder": folder, "configuration": configuration, "label": label, "choices": choices, "seed": seed}


def write_plan(folder: Path, jobs: Sequence[Mapping[str, Any]], **others: Any) -> Path:
    """Write study.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = {
        "name": "letters",
        "question": "Do letters help?",
        "factors": {"char_encoder": "char encoder", "decoder": "decoder"},
        "baseline": None,
        "published": {},
        "command": ["ner-lab", "sweep", "letters"],
        "jobs": list(jobs),
    }
    (folder / "study.yaml").write_text(yaml.safe_dump({**plan, **others}, sort_keys=False))
    return folder


def grid(folder: Path, cells: Mapping[str, Sequence[float]], **others: Any) -> Path:
    """A finished study: configuration -> test F1 of seeds 1, 2, ...; dev is 10 above."""
    jobs = [job(name, seed) for name, values in cells.items() for seed in range(1, len(values) + 1)]
    for name, values in cells.items():
        for seed, value in enumerate(values, 1):
            write_run(folder / name / f"seed={seed}", metrics(seed, dev=value + 10, test=value))
    return write_plan(folder, jobs, **others)


FOUR = {
    "char_encoder=none,decoder=softmax": (60.0, 62.0, 64.0),
    "char_encoder=none,decoder=crf": (65.0, 66.0, 67.0),
    "char_encoder=cnn,decoder=softmax": (70.0, 71.0, 72.0),
    "char_encoder=cnn,decoder=crf": (73.0, 74.0, 75.0),
}
"""A 2 x 2 grid: letters bring 8.5 points, the CRF 3.5, and the CRF 1 point less with letters than without."""
