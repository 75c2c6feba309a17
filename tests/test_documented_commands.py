"""The commands that README.md and docs/ print, run as printed.

Appended are only limits: one epoch of a few batches, the first value of what a study varies, no tracker, the tests'
own small corpus, and local copies of what would be downloaded. A command that needs a GPU, several processes for a
job, an extra that is not installed, or a download that has no local copy here is composed and not trained; other
programs (`make`, `wandb`, `pip`, `srun`) are not run. Files and folders that a page mentions as an example are put
where it expects them, by the ending of their name.
"""

import importlib.util
import io
import os
import re
import shlex
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from preloaded import Preloaded
from sample import DEV, TEST, TRAIN, Outcome, marked, write_corpus

from ner_lab.cli.app import config_dirs_of
from ner_lab.cli.sweep import study_file
from ner_lab.config.compose import compose_config

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDERS = ("DIR", "RUN", "RUN_A", "RUN_B", "DIR_A", "DIR_B")
"""Names under which pages speak of a run folder."""
LIMITS = ("trainer.max_epochs=1", "trainer.limit_train_batches=2", "logger=none")
EXTRAS = {"joblib": "hydra_plugins.hydra_joblib_launcher", "optuna": "hydra_plugins.hydra_optuna_sweeper"}
EXTRAS |= {"ray": "hydra_plugins.hydra_ray_launcher", "submitit": "hydra_plugins.hydra_submitit_launcher"}
FLAGS = {"--status", "--watch", "--wandb", "--help", "-h"}
ONLINE = {"dashboard"}
"""Commands that talk to a server."""


class Block(NamedTuple):
    """A block of code of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """`ner-lab NAME ARGUMENTS`, with the variables set before it and the file piped into it."""

    name: str
    arguments: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    stdin: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {' '.join(self.arguments)}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands_of(text: str) -> Iterator[Command]:
    """The `ner-lab` commands of a shell block, in order."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.replace(" &", " "), comments=True)
        if "ner-lab" not in words:
            continue
        words = words[: words.index(">")] if ">" in words else words
        at = words.index("ner-lab")
        before = words[:at]
        variables = tuple((name, value) for name, _, value in (word.partition("=") for word in before) if value)
        stdin = before[before.index("cat") + 1] if "cat" in before else None
        if before and not variables and stdin is None:
            continue  # the argument of another program, such as srun
        yield Command(words[at + 1], tuple(words[at + 2 :]), variables, stdin)


def named_file(block: Block) -> str | None:
    """The file that a block shows, where its first line is a comment with a path."""
    match = re.match(r"# ([\w./]+\.(?:py|yaml))\n", block.text)
    return match[1] if match else None


def value_of(arguments: tuple[str, ...], key: str) -> str | None:
    """The last value of a key on a command line."""
    return next((word[len(key) + 1 :] for word in reversed(arguments) if word.startswith(f"{key}=")), None)


def columns_of(command: Command) -> list[str | None]:
    """The columns of a file that `data.columns` describes; word and tag without it."""
    given = OmegaConf.to_container(OmegaConf.create(value_of(command.arguments, "data.columns") or "{word: 0, tag: 1}"))
    assert isinstance(given, dict)
    width = max(given.values()) + 1
    names: list[str | None] = [None] * width
    for name, index in given.items():
        names[index] = str(name)
    return names


def place_file(path: Path, command: Command) -> None:
    """An example file: columns, JSON lines or running text by its ending and by the key it is the value of."""
    if path.exists() or path.is_symlink():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sentences = marked(TRAIN + DEV + TEST)
    if "glove" in path.name or "vectors" in path.name:
        words = sorted({word.lower() for sentence in sentences for word in sentence.words})
        numbers = " ".join(["0.25"] * int(re.findall(r"(\d+)d\b", path.name)[0] if "d" in path.stem else 5))
        path.write_text("".join(f"{word} {numbers}\n" for word in words))
    elif path.suffix == ".jsonl":
        path.write_text('{"text": "Anna Holm lives in Oslo."}\n')
    elif command.name == "predict" and path.suffix != ".conll":
        path.write_text("Anna Holm lives in Oslo.\n")
    elif command.name == "score":
        rows = (zip(s.words, s.tags(), s.tags(), strict=True) for s in sentences)
        path.write_text("".join("".join(" ".join(row) + "\n" for row in sentence) + "\n" for sentence in rows))
    else:
        names = columns_of(command)
        rows = []
        for sentence in sentences:
            cells = {"word": sentence.words, "tag": sentence.tags()}
            columns = [cells.get(str(name), ["_"] * len(sentence.words)) for name in names]
            rows.append("".join("\t".join(row) + "\n" for row in zip(*columns, strict=True)) + "\n")
        path.write_text("".join(rows))


def place_corpus(folder: Path) -> None:
    """A folder of a named corpus with four columns, under the names that its own files have."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("train", TRAIN), ("dev", DEV), ("test", TEST)):
        write_corpus(folder / f"{name}.txt", marked(text), columns=["word", "pos", "chunk", "tag"])


def local_copies(cfg: DictConfig) -> list[str] | None:
    """Overrides that put local files in place of downloads; None where there is no stand-in for one."""
    limits = []
    if cfg.data.name == "builtin":  # the tests' corpus is smaller
        place_corpus(Path("corpus"))
        limits += ["data=files", *(f"data.{split}=corpus/{split}.txt" for split in ("train", "dev", "test"))]
    if cfg.data.get("downloads") and cfg.data.dir is None and cfg.data.train is None:
        if cfg.data.name not in ("conll2003", "conll2000"):
            return None
        place_corpus(Path("corpus"))
        limits += ["data.dir=corpus", "data.dev=corpus/dev.txt"]
    if cfg.word_embedding.get("url") is not None and cfg.word_embedding.get("path", "") is None:
        if "words" in cfg.word_embedding:
            return None
        path = Path(f"vectors.{cfg.word_embedding.dim}d.txt")
        place_file(path, Command("train", ()))
        limits.append(f"word_embedding.path={path}")
    return None if "url: https" in OmegaConf.to_yaml(cfg.features) else limits


def first_values(overrides: list[str]) -> list[str]:
    """Each swept key with the first of its values."""
    firsts = []
    for override in OverridesParser.create().parse_overrides(overrides):
        if override.is_sweep_override():
            value = next(iter(override.sweep_string_iterator()))
            firsts.append(f"{override.get_key_element()}={value}")
    return firsts


def one_job(command: Command) -> list[str]:
    """Limits that leave one job of a sweep: the first value of everything that its file or its command line varies."""
    arguments = list(command.arguments)
    given = [word for word in arguments if "=" in word and not word.startswith(("-", "hydra"))]
    limits = first_values(given)
    if (study := study_of(command.arguments)) is not None:
        sweeper = OmegaConf.load(study).get("hydra", {}).get("sweeper", {})
        params = {key: str(value) for key, value in (sweeper.get("params") or {}).items()}
        taken = {word.partition("=")[0] for word in given}
        limits += first_values([f"{key}={value}" for key, value in params.items() if key not in taken])
        if variants := list(sweeper.get("variants") or {}):
            limits.append(f"hydra.sweeper.include=[{variants[0]}]")
    return limits


@pytest.fixture
def workplace(tmp_path: Path, run: Path, preloaded: Preloaded, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with the files that the pages show, and finished runs under the names pages give them."""
    for block in BLOCKS:
        if (name := named_file(block)) is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(block.text, encoding="utf-8")
    for name in PLACEHOLDERS:
        shutil.copytree(run, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "executable", str(preloaded.python))  # of a sweep's jobs
    before = set(sys.modules)
    yield tmp_path
    for name in [name for name in set(sys.modules) - before if name.partition(".")[0] == "my_lab"]:
        del sys.modules[name]


Cli = Callable[..., Outcome]


def run_printed(command: Command, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command as printed, plus limits."""
    place_examples(command)
    for name, value in command.variables:
        monkeypatch.setenv(name, value)
    if (limits := limits_of(command)) is None:
        return
    if (study := missing_study(command)) is not None:
        run_printed(Command("sweep", (study,)), cli, monkeypatch)
    if command.stdin is not None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(command.stdin).read_bytes())))
    outcome = cli(command.name, *command.arguments, *limits)
    assert outcome.code == 0, f"ner-lab {command}\n{outcome.out}{outcome.err}"


def place_examples(command: Command) -> None:
    """The files and corpora that a command line mentions."""
    if command.stdin is not None:
        place_file(Path(command.stdin), command)
    for word, after in zip(command.arguments, [*command.arguments[1:], ""], strict=False):
        key, equals, value = word.partition("=")
        if word == "--input":
            place_file(Path(after), command)
        elif key == "data.dir":
            place_corpus(Path(value))
        elif key in ("data.train", "data.dev", "data.test", "word_embedding.path"):
            place_file(Path(value), command)
        elif not equals and command.name == "score" and not word.startswith("-"):
            place_file(Path(word), command)


def limits_of(command: Command) -> list[str] | None:
    """What is appended to a command; None where it can only be composed here (which is done)."""
    arguments = command.arguments
    if command.name == "data":
        return ["data.verify=false"] if value_of(arguments, "data.dir") else []
    is_training = command.name in ("train", "sweep", "check") and arguments and not FLAGS & set(arguments)
    if not is_training or "--resume" in arguments:
        return []
    if "--from" in arguments:
        return [*LIMITS, *own_folder(command)]
    if not has_extras(arguments):
        return None
    is_sweep = command.name == "sweep" or "-m" in arguments
    limits = [*(one_job(command) if is_sweep else []), *LIMITS]
    config_dirs, given = config_dirs_of(list(arguments if study_of(arguments) is None else arguments[1:]))
    keys = [word for word in [*given, *limits] if not word.startswith(("-", "hydra")) and not is_swept(word)]
    cfg = composed(keys, study_of(arguments), config_dirs)
    if needs_gpu(arguments) or "trainer=ddp" in arguments or (copies := local_copies(cfg)) is None:
        return None
    limits += [*copies, "data.verify=false"]
    if "path" in cfg.word_embedding:
        limits.append("word_embedding.min_coverage=0")
    return [*limits, "hydra.launcher.n_jobs=1"] if is_sweep else [*limits, *own_folder(command)]


def own_folder(command: Command) -> list[str]:
    """A run folder by the command in place of one by the second: two short runs may start in one."""
    if command.name != "train" or value_of(command.arguments, "hydra.run.dir"):
        return []
    return [f"hydra.run.dir=outputs/{zlib.crc32(str(command).encode())}"]


def is_swept(word: str) -> bool:
    return OverridesParser.create().parse_override(word).is_sweep_override()


def needs_gpu(arguments: tuple[str, ...]) -> bool:
    return any(word == "trainer=gpu" or word.startswith("hydra.launcher.gpus") for word in arguments)


def has_extras(arguments: tuple[str, ...]) -> bool:
    """Whether the launcher or sweeper that a command asks for is installed."""
    text = " ".join(arguments)
    wanted = [module for name, module in EXTRAS.items() if f"hydra/launcher={name}" in text or "optuna" in text]
    if arguments and (study := study_of(arguments)) is not None and "optuna" in study.read_text(encoding="utf-8"):
        wanted.append(EXTRAS["optuna"])
    return all(importlib.util.find_spec(module) is not None for module in wanted)


def study_of(arguments: tuple[str, ...]) -> Path | None:
    """The file of the study that a command names first."""
    return None if "=" in arguments[0] or arguments[0].startswith("-") else study_file(arguments[0])


def composed(overrides: list[str], study: Path | None, config_dirs: list[str]) -> DictConfig:
    """The config of a command, or of the one job that its limits leave."""
    groups = [] if study is None else [one for one in OmegaConf.load(study).defaults if isinstance(one, DictConfig)]
    chosen = [f"{str(key).removeprefix('override ')}={value}" for one in groups for key, value in one.items()]
    return compose_config([*chosen, *overrides], config_dirs)


def missing_study(command: Command) -> str | None:
    """The study that a command looks at and that was not run here yet."""
    if command.name not in ("report", "sweep") or (command.name == "sweep" and "--status" not in command.arguments):
        return None
    for word in command.arguments:
        name = Path(word).name
        if not word.startswith("-") and (ROOT / "sweeps" / f"{name}.yaml").is_file() and not Path(word).exists():
            return name if not Path("outputs", name).exists() else None
    return None


def commands_by_block() -> dict[Block, list[Command]]:
    """The commands of each block of shell; one that several pages print is run where it comes first."""
    found: dict[Command, Block] = {}
    for block in BLOCKS:
        for command in commands_of(block.text) if block.language == "sh" else ():
            if command.name not in ONLINE:
                found.setdefault(command, block)
    return {block: [one for one, place in found.items() if place == block] for block in found.values()}


SHELL = commands_by_block()
PYTHON = [block for block in BLOCKS if block.language == "python" and named_file(block) is None]


def test_the_pages_have_commands_to_run() -> None:
    assert sum(map(len, SHELL.values())) > 30
    assert PYTHON


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_work_as_printed(block: Block, workplace: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in SHELL[block]:
        with monkeypatch.context() as patch:
            run_printed(command, cli, patch)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_works_as_printed(block: Block, workplace: Path, run: Path) -> None:
    for name in re.findall(r'"(outputs/[^"]*)"', block.text):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(name):
            Path(name).symlink_to(run)
    exec(compile(block.text, str(block), "exec"), {})
