"""`ner-lab data ACTION ...`: inspect, download or export a corpus as CoNLL columns; build a lexicon."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from ner_lab.cli.app import config_dirs_of, run_command
from ner_lab.cli.parsers import data_parser, parse_settings
from ner_lab.config.compose import data_section
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.corpora import locate, read_corpus
from ner_lab.data.options import DataOptions
from ner_lab.data.readers.conll import write_columns
from ner_lab.data.remarks import remarks_on, unseen_types
from ner_lab.data.sentence import DOCSTART, Counts, Split
from ner_lab.data.tags import check_scheme, convert
from ner_lab.errors import UserError, nearest
from ner_lab.io.atomic import whole_file
from ner_lab.io.file_diagnosis import why_no_file
from ner_lab.io.terminal import download_bar, start_logging
from ner_lab.models.features.lexicon.entries import build_lexicon
from ner_lab.training.summary import counts_table

log = logging.getLogger(__name__)


def export(splits: dict[str, Split], folder: Path, scheme: str) -> list[Path]:
    """Write each split to `folder/SPLIT.conll`; documents begin with `-DOCSTART-`, missing columns are `_`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, split in splits.items():
        target = folder / f"{name}.conll"
        with whole_file(target) as out:
            document = -1
            for sentence in split.sentences:
                if sentence.document != document:
                    document = sentence.document
                    out.write(f"{DOCSTART} -X- -X- O\n\n")
                if sentence.words == [DOCSTART]:  # kept as a sentence; already written
                    continue
                unknown = ["_"] * len(sentence.words)
                middle = [sentence.columns.get(column, unknown) for column in ("pos", "chunk")]
                write_columns(out, [[sentence.words, *middle, convert(sentence.tags, scheme)]])
        written.append(target)
    return written


def _stats(overrides: list[str], own: dict[str, str], config_dirs: list[str]) -> None:
    options = _options(overrides, config_dirs)
    splits = read_corpus(options, locate(options, download_bar()))
    counts = {name: Counts.of(split.sentences) for name, split in splits.items()}
    schemes = {name: split.scheme for name, split in splits.items()}
    longest = {name: max(len(s.words) for s in split.sentences) for name, split in splits.items()}
    log.info("%s\n%s", options.name, counts_table(counts, schemes, longest))
    for name, split in splits.items():
        log.info("  %s: %s", name, split.path)
    for remark in [*remarks_on(splits, options), *unseen_types(splits)]:
        log.warning("%s", remark)
    if options.licence:
        log.info("  licence: %s", options.licence)


def _download(overrides: list[str], own: dict[str, str], config_dirs: list[str]) -> None:
    options = _options(overrides, config_dirs)
    for name, path in locate(options, download_bar()).items():
        log.info("%-5s  %s", name, path)
    if options.licence:
        log.info("licence: %s", options.licence)


def _export(overrides: list[str], own: dict[str, str], config_dirs: list[str]) -> None:
    if not own.get("output"):
        raise UserError(f"where to? Give output=DIR. {data_parser().hint}")
    options = _options(overrides, config_dirs)
    splits = read_corpus(options, locate(options, download_bar()))
    scheme = check_scheme(own.get("scheme", "IOB2"))
    for remark in (remark for split in splits.values() for remark in split.remarks):
        log.warning("%s", remark)
    for path in export(splits, Path(own["output"]).expanduser(), scheme):
        log.info("%s", path)


def _lexicon(overrides: list[str], own: dict[str, str], config_dirs: list[str]) -> None:
    if overrides:
        raise UserError(
            f"'{overrides[0]}': a lexicon takes --input FILE,FILE and --output FILE only. {data_parser().hint}"
        )
    if not (own.get("input") and own.get("output")):
        raise UserError(f"from what, and where to? Give --input FILE and --output FILE. {data_parser().hint}")
    sources = [Path(name).expanduser() for name in own["input"].split(",")]
    if missing := [source for source in sources if not source.is_file()]:
        raise UserError(f"input={missing[0]}: {why_no_file(missing[0])} Give lists of names, one a line.")
    target = Path(own["output"]).expanduser()
    log.info("%s entries written to %s", f"{build_lexicon(sources, target):,}", target)


def _options(overrides: list[str], config_dirs: list[str]) -> DataOptions:
    return data_options_of(data_section(overrides, config_dirs=config_dirs))


_ACTIONS: dict[str, tuple[Callable[[list[str], dict[str, str], list[str]], None], tuple[str, ...]]] = {
    "stats": (_stats, ()),
    "download": (_download, ()),
    "export": (_export, ("output", "scheme")),
    "lexicon": (_lexicon, ("input", "output")),
}
"""What is done, and with which keys beside those of the data."""


def _command() -> None:
    arguments = sys.argv[1:]
    if not arguments:
        raise UserError(f"which action? Give one of {', '.join(_ACTIONS)}. {data_parser().hint}")
    action, *rest = arguments
    if action not in _ACTIONS:
        raise UserError(f"no action '{action}'{nearest(action, _ACTIONS)} {data_parser().hint}")
    act, keys = _ACTIONS[action]
    config_dirs, arguments = config_dirs_of(rest)
    own, overrides = parse_settings(data_parser(), arguments)
    if others := [name for name in own if name not in keys]:
        raise UserError(f"--{others[0]}: `ner-lab data {action}` does not take it. {data_parser().hint}")
    start_logging()
    act(overrides, own, config_dirs)


def main() -> None:
    """Entry point of `ner-lab data`."""
    run_command(_command)


if __name__ == "__main__":
    main()
