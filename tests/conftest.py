"""What the tests share: a corpus, a trained run, ways to call the commands; nothing of the user's own is touched."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hypothesis import settings
from omegaconf import DictConfig
from preloaded import Preloaded
from sample import DEV, NO_DROPOUT, SMALL, TEST, TRAIN, Outcome, marked, write_corpus

from ner_lab.cli import main as command_line
from ner_lab.config.compose import compose_config
from ner_lab.training.train import train

settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("soak", deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """The suite tries the same examples each time; `make soak` tries new ones."""
    settings.load_profile("soak" if config.getoption("markexpr") == "soak" else "suite")


@pytest.fixture(scope="session", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own, no account of W&B, one thread; Ctrl-C reaches what tests start, also behind `make test &`."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    place = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("NER_LAB_CACHE", str(place / "cache"))
        patch.setenv("NETRC", str(place / "netrc"))
        for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(place / "wandb"))
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.conll, dev.conll and test.conll."""
    folder = tmp_path_factory.mktemp("corpus")
    for name, text in (("train", TRAIN), ("dev", DEV), ("test", TEST)):
        write_corpus(folder / f"{name}.conll", marked(text))
    return folder


@pytest.fixture(scope="session")
def place_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[DictConfig], None]:
    """Gives an experiment the files it lacks: the small corpus in its columns, and vectors."""
    sentences = {"train": marked(TRAIN), "dev": marked(DEV), "test": marked(TEST)}
    folder = tmp_path_factory.mktemp("vectors")
    words = sorted({word.lower() for split in sentences.values() for sentence in split for word in sentence.words})
    numbers = np.random.default_rng(1).normal(size=(len(words), 5)).round(3)
    rows = [" ".join(map(str, row)) for row in numbers]
    (folder / "vectors.txt").write_text("".join(f"{word} {row}\n" for word, row in zip(words, rows, strict=True)))
    (folder / "embeddings.txt").write_text("".join(row + "\n" for row in rows))
    (folder / "words.lst").write_text("".join(word + "\n" for word in words))

    for kind in ("loc", "misc", "org", "per"):
        (folder / f"ner.{kind}.lst").write_text("".join(f"{word}\n" for word in words))
        (folder / f"ner.{kind}.dat").write_bytes(b"\1" * len(words))

    def place_lists(node: DictConfig) -> None:
        for key in node:
            if isinstance(inner := node._get_node(key), DictConfig) and not inner._is_none():
                place_lists(inner)
        if {"dir", "entries"} <= set(node):
            node.dir = str(folder)

    def columns_of(columns: Mapping[str, int]) -> list[str]:
        return sorted(columns, key=lambda name: columns[name] if columns[name] >= 0 else 1000 + columns[name])

    def place(cfg: DictConfig) -> None:
        place_lists(cfg.features)
        if cfg.data.format == "columns":
            corpus = tmp_path_factory.mktemp("corpus")
            separator = "\t" if cfg.data.separator == "tab" else " "
            for split, content in sentences.items():
                path = corpus / f"{split}.conll"
                cfg.data[split] = str(path)
                write_corpus(path, content, columns=columns_of(cfg.data.columns), separator=separator)
            cfg.data.verify = False
        if "path" in cfg.word_embedding.keys():  # noqa: SIM118 - a key without a value counts as well
            senna = "words" in cfg.word_embedding
            cfg.word_embedding.path = str(folder / ("embeddings.txt" if senna else "vectors.txt"))
            cfg.word_embedding.min_coverage = 0.9
            if "dim" in cfg.word_embedding:
                cfg.word_embedding.dim = numbers.shape[1]

    return place


@pytest.fixture(scope="session")
def small(corpus: Path) -> list[str]:
    """Overrides for a small tagger on the small corpus."""
    files = [f"data.{name}={corpus / name}.conll" for name in ("train", "dev", "test")]
    return ["data=files", *files, "data.batch_size=4", *SMALL]


@pytest.fixture(scope="session")
def able(small: list[str]) -> list[str]:
    """Overrides for a small tagger that knows the small corpus nearly by heart."""
    return [*small, *NO_DROPOUT, "optimizer.lr=0.03", "trainer.max_epochs=12"]


@pytest.fixture(scope="session")
def run(able: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(compose_config(able), folder)
    return folder


@pytest.fixture(scope="session")
def preloaded(_alone: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """The programs `python` and `ner-lab` as forks of a process that has imported everything."""
    programs = Preloaded(tmp_path_factory.mktemp("preloaded"))
    yield programs
    programs.close()


@pytest.fixture(scope="session")
def subprocess_cli(preloaded: Preloaded) -> Callable[..., Outcome]:
    """`ner-lab ...` in a process of its own, where that is the point; `program` replaces the forked `ner-lab`."""

    def call(*arguments: str, program: Path = preloaded.ner_lab, **options: Any) -> Outcome:
        options = {"stdin": subprocess.DEVNULL, "timeout": 300} | options
        done = subprocess.run([program, *arguments], capture_output=True, encoding="utf-8", **options)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """`ner-lab ...` within this process. Errors that are not the user's come out as they are."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", getattr(main, "__spec__", None), raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the commands set it: put back afterwards

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ner-lab", *arguments])
        root.handlers[:] = []
        code: Any = 0
        capsys.readouterr()
        try:
            command_line.main()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    yield call
    HydraConfig.instance().cfg = None  # what Hydra leaves there, `run_name` would go by
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def console_run(
    able: list[str], subprocess_cli: Callable[..., Outcome], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """The run of `run` once more: from the console, with the default logger, no key, and standard input closed."""
    home = tmp_path_factory.mktemp("home")
    settings = [setting for setting in able if not setting.startswith("logger")]
    outcome = subprocess_cli(
        "train",
        *settings,
        "hydra.run.dir=run",
        cwd=home,
        env={**os.environ, "HOME": str(home), "PYTHONHASHSEED": "7"},
        preexec_fn=lambda: os.close(0),
        stdin=None,
        program=Path(sys.executable).with_name("ner-lab"),
    )
    return home / "run", outcome
