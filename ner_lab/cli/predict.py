"""`ner-lab predict RUN ...` and `ner_lab.load(DIR)`: tag new text with a trained tagger."""

import gc
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from rich.progress import TextColumn

from ner_lab.cli.app import run_command
from ner_lab.cli.parsers import parse_settings, predict_parser
from ner_lab.config.compose import data_section
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.readers.recognition import FIRST_LINES, recognise
from ner_lab.errors import UserError, check_choice
from ner_lab.inference.chunks import ChunkReader
from ner_lab.inference.output import output_file
from ner_lab.inference.text_formats import INPUT_FORMATS, OUTPUT_FORMATS, STANDARD_INPUT, InputFormat, columns_input
from ner_lab.inference.trained_tagger import TrainedTagger, load
from ner_lab.inference.worker import ChunkResult, ChunkWorker
from ner_lab.inference.worker_pool import in_processes
from ner_lab.io.file_diagnosis import why_no_file
from ner_lab.io.machine import available_cores
from ner_lab.io.terminal import bar
from ner_lab.models.threads import set_threads

log = logging.getLogger(__name__)

_DATA_KEYS = ("data.columns", "data.separator", "data.docstart")
_PARTS = 2  # chunks for each process, if they can be large


def _command() -> None:
    own, overrides = parse_settings(predict_parser(), sys.argv[1:])
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key not in _DATA_KEYS and not key.startswith("data.columns."):
            raise UserError(
                f"'{override}': predict takes --input FILE and, of data, {', '.join(_DATA_KEYS)}. "
                f"{predict_parser().hint}"
            )
    if not own.get("run"):
        raise UserError(f"which run? Give its folder. {predict_parser().hint}")
    write = _choice(own, "format", "conll", OUTPUT_FORMATS)
    read_as = _choice(own, "input_format", "auto", {name: name for name in ("auto", *INPUT_FORMATS)})
    processes = _processes(own.get("threads"))
    given, target = own.get("input", "-"), own.get("output", "-")
    if "-" not in (given, target) and Path(given).expanduser().resolve() == Path(target).expanduser().resolve():
        raise UserError(f"output={target} is the input itself, and would be emptied. Give another file.")
    trained = load(own["run"])
    columns = _columns_input(trained, overrides)
    gc.freeze()  # never freed: the garbage collector skips it, and forked processes share it
    with ExitStack() as stack:
        source, name = _open_input(given, stack)
        feed = ChunkReader(source)
        if read_as == "auto":
            read_as = "text" if source.isatty() else _recognised(name, feed.look_ahead(FIRST_LINES))
        read = columns if read_as == "conll" else INPUT_FORMATS[read_as]
        work = ChunkWorker(trained.labeller, read, write, name)
        feed.cut(blocks=read.blocks, head=work.head, parts=_PARTS * processes)
        out = sys.stdout if target == "-" else stack.enter_context(output_file(target))
        progress = stack.enter_context(bar(TextColumn("")))
        task = progress.add_task("tagging", total=feed.size)
        for done in _tag(feed, work, processes):
            if done.text:
                trained.warn_of_columns()
            out.write(done.text)
            out.flush()
            if done.error is not None:
                raise done.error
            progress.update(task, completed=done.read)


def _columns_input(trained: TrainedTagger, overrides: Sequence[str]) -> InputFormat:
    """Column format of the run's own data, with `overrides` applied."""
    options = data_options_of(data_section(overrides, trained.config))
    return columns_input(options.column_format, lone_words=not overrides)


def _recognised(name: str, lines: Sequence[str]) -> str:
    """The input's format; a guessed format is reported in one line."""
    found = recognise(name, lines)
    if not found.by_name and any(map(str.strip, lines)):
        others = ", ".join(form for form in INPUT_FORMATS if form != found.kind)
        print(
            f"{name}: read as input_format={found.kind} ({found.reason}); if that is wrong, give another: {others}",
            file=sys.stderr,
        )
    return found.kind


def _processes(threads: str | None) -> int:
    """Number of processes; each, including this one, uses one thread."""
    number = threads or str(available_cores())
    set_threads(number)  # raises if it is not a number
    set_threads(1)
    return int(number)


def _tag(feed: ChunkReader, work: ChunkWorker, processes: int) -> Iterator[ChunkResult]:
    """Tag all chunks in order: in this process, until there is enough input for several processes."""
    while not (processes > 1 and feed.is_long and work.labeller.on_cpu):
        if (chunk := feed.take()) is None:
            return
        yield work(chunk)
    yield from in_processes(feed, work, processes)


def _choice(own: dict[str, str], key: str, default: str, choices: dict[str, Any]) -> Any:
    value = own.get(key, default)
    check_choice(key, value, list(choices))
    return choices[value]


def _open_input(name: str, stack: ExitStack) -> tuple[BinaryIO, str]:
    """Open the input; return it with its name for messages."""
    if name == "-":
        return sys.stdin.buffer, STANDARD_INPUT
    path = Path(name).expanduser()
    if not (path.is_file() or path.is_fifo()):
        raise UserError(f"input={name}: {why_no_file(path)} Give a file, or - for standard input.")
    return stack.enter_context(path.open("rb")), name


def main() -> None:
    """Entry point of `ner-lab predict`."""
    run_command(_command)


if __name__ == "__main__":
    main()
