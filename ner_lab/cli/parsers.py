"""The argparse parser of each command, without what the command needs, so that help is printed fast."""

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from ner_lab.errors import UserError, nearest

_WIDTH = 100  # columns of a help text
_OWN_OPTIONS = "a folder with options of your own, DIR/data/NAME.yaml for data=NAME"


class CommandParser(argparse.ArgumentParser):
    """Parser of one command; its errors are UserErrors.

    Args:
        name: of the command.
        usage: the forms of the command line, after `ner-lab NAME`.
        about: the description, printed as it is.
        words: name and help of the positional words: run folders, files, and overrides where the command takes some.
        positions: settings that are given by position, in order.
    """

    def __init__(
        self, name: str, *, usage: Sequence[str], about: str, words: tuple[str, str], positions: Sequence[str] = ()
    ) -> None:
        super().__init__(
            prog=f"ner-lab {name}",
            usage=f"\n{'':7}".join(f"ner-lab {name} {form}".rstrip() for form in usage),
            description=about,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=_WIDTH),
            allow_abbrev=False,
        )
        self.positions = tuple(positions)
        self.settings: list[str] = []
        self.flags: list[str] = []
        self.add_argument("words", nargs="*", metavar=words[0], help=words[1])

    def add_setting(self, name: str, metavar: str, text: str) -> None:
        """Add a long option with a value; `name` has underscores."""
        self.settings.append(name)
        self.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar=metavar, action="append", help=text)

    def add_flag(self, name: str, text: str) -> None:
        """Add a long option without a value."""
        self.flags.append(f"--{name}")
        self.add_argument(f"--{name}", action="store_true", help=text)

    def error(self, message: str) -> NoReturn:
        """Raise a UserError in place of argparse's exit."""
        if match := re.search(r"argument (--[\w-]+): expected one argument", message):
            message = f"{match[1]} needs a value, {match[1]} VALUE"
        raise UserError(f"{message}. {self.hint}")

    @property
    def hint(self) -> str:
        """The sentence at the end of an error."""
        return f"`{self.prog} --help` lists what it takes."

    def parse_words(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse options and positional words in any order; UserError for an unknown option, with the nearest."""
        known = [f"--{name.replace('_', '-')}" for name in self.settings]
        spelt = [_with_dashes(word, known) for word in arguments]
        parsed, unknown = self.parse_known_intermixed_args(spelt)
        if flags := [word for word in unknown if word.startswith("-")]:
            option = flags[0].partition("=")[0]
            raise UserError(f"unknown option '{option}'{nearest(option, [*known, *self.flags])} {self.hint}")
        parsed.words = [*parsed.words, *unknown]
        return parsed


def _with_dashes(word: str, known: Sequence[str]) -> str:
    """`--input_format=x` as `--input-format=x`."""
    name, equals, value = word.partition("=")
    dashed = name.replace("_", "-")
    return f"{dashed}{equals}{value}" if dashed in known else word


def parse_settings(parser: CommandParser, arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split arguments into a command's own settings and overrides of `data`.

    A setting is a long option, or `KEY=VALUE`. Words without a key, and folders whose names contain `=`, are the
    parser's `positions`, in order.

    Returns:
        Values of the settings by name, and the overrides.
    Raises:
        UserError: for an unknown option or key, with the nearest, a missing value, or a setting given twice.
    """
    parsed = parser.parse_words(arguments)
    keys = [*parser.positions, *parser.settings]
    given: dict[str, list[str]] = {name: list(getattr(parsed, name) or ()) for name in parser.settings}
    positional, overrides = [], []
    for word in parsed.words:
        key, equals, value = word.partition("=")
        if equals and key in keys:
            given.setdefault(key, []).append(value)
        elif not equals or "/" in key or os.path.isdir(word):
            positional.append(word)
        elif key == "data" or key.lstrip("+").startswith("data."):
            overrides.append(word)
        else:
            raise UserError(f"unknown key '{key}'{nearest(key, [*keys, 'data'])} {parser.hint}")
    free = [name for name in parser.positions if not given.get(name)]
    for number, word in enumerate(positional):
        if number >= len(free):
            reason = f"{' and '.join(parser.positions)} given already" if parser.positions else "expected KEY=VALUE"
            raise UserError(f"'{word}': {reason}. {parser.hint}")
        given[free[number]] = [word]
    for name, values in given.items():
        if len(set(values)) > 1:
            both = f"{name}={values[0]} and {name}={values[1]}"
            raise UserError(f"{name} is given twice, {both}. Give one. {parser.hint}")
    return {name: values[0] for name, values in given.items() if values}, overrides


def check_parser() -> CommandParser:
    """Parser of `ner-lab check`."""
    parser = CommandParser(
        "check",
        usage=["[GROUP=OPTION ...] [KEY=VALUE ...] [--config-dir DIR]"],
        about=_ABOUT_CHECK,
        words=("KEY=VALUE", "overrides, as of `ner-lab train`"),
    )
    parser.add_setting("config_dir", "DIR", "a folder with options of your own")
    return parser


def compare_parser() -> CommandParser:
    """Parser of `ner-lab compare`."""
    parser = CommandParser(
        "compare",
        usage=["A B [--split test|dev] [--output FILE] [--show N] [--rounds N]"],
        about=_ABOUT_COMPARE,
        words=("A B", "folders of runs, or of configurations of a study"),
        positions=("a", "b"),
    )
    parser.add_setting("split", "SPLIT", "the predictions to compare, test (default) or dev")
    parser.add_setting("output", "FILE", "also write a page (.html), Markdown (.md) or all figures (.json)")
    parser.add_setting("show", "N", "sentences shown that only A, and that only B, gets right (20)")
    parser.add_setting("rounds", "N", "rounds of approximate randomisation (10000)")
    return parser


def dashboard_parser() -> CommandParser:
    """Parser of `ner-lab dashboard`."""
    parser = CommandParser(
        "dashboard",
        usage=["NAME [--entity ENTITY] [--project NAME] [--base-url URL]"],
        about=_ABOUT_DASHBOARD,
        words=("NAME", "a study, as in `ner-lab sweep NAME`, or its folder, outputs/NAME"),
        positions=("name",),
    )
    parser.add_setting("entity", "ENTITY", "the person or team at W&B (default: that of the key)")
    parser.add_setting("project", "NAME", "where the runs are, logger.project (ner_lab)")
    parser.add_setting("base_url", "URL", "the server (https://api.wandb.ai)")
    return parser


def data_parser() -> CommandParser:
    """Parser of `ner-lab data`."""
    parser = CommandParser(
        "data",
        usage=[
            "stats|download [data=OPTION] [data.KEY=VALUE ...] [--config-dir DIR]",
            "export --output DIR [--scheme IOB2] [data=OPTION] [data.KEY=VALUE ...]",
            "lexicon --input FILE[,FILE...] --output FILE",
        ],
        about=_ABOUT_DATA,
        words=("ACTION [data.KEY=VALUE ...]", "stats, download, export or lexicon, then overrides of data"),
    )
    parser.add_setting("output", "PATH", "folder of an export, or file of a lexicon")
    parser.add_setting("scheme", "SCHEME", "tag scheme of an export (IOB2)")
    parser.add_setting("input", "FILE,...", "lists of names for a lexicon, one a line")
    parser.add_setting("config_dir", "DIR", _OWN_OPTIONS)
    return parser


def evaluate_parser() -> CommandParser:
    """Parser of `ner-lab evaluate`."""
    parser = CommandParser(
        "evaluate",
        usage=["RUN [--splits dev,test] [--output DIR]", "RUN data=OPTION [data.KEY=VALUE ...] [--config-dir DIR]"],
        about=_ABOUT_EVALUATE,
        words=("RUN [data.KEY=VALUE ...]", "a run folder, then overrides of data"),
        positions=("run",),
    )
    parser.add_setting("splits", "SPLIT,...", "the splits to score, such as dev,test")
    parser.add_setting(
        "output", "DIR", "a folder for evaluation.json and predictions/SPLIT.conll; without it nothing is written"
    )
    parser.add_setting("config_dir", "DIR", _OWN_OPTIONS)
    return parser


def predict_parser() -> CommandParser:
    """Parser of `ner-lab predict`."""
    parser = CommandParser(
        "predict",
        usage=[
            "RUN [--input FILE] [--output FILE] [--format conll|jsonl|text]",
            "RUN [--input-format FORMAT] [--threads N] [data.columns.word=N ...]",
        ],
        about=_ABOUT_PREDICT,
        words=(
            "RUN [data.KEY=VALUE ...]",
            "a run folder, then data.columns.word=N, data.separator or data.docstart, for --input-format conll",
        ),
        positions=("run",),
    )
    parser.add_setting("input", "FILE", "a file, or - for standard input (default)")
    parser.add_setting("output", "FILE", "a file, or - for standard output (default)")
    parser.add_setting("format", "FORMAT", "conll (default), jsonl or text")
    parser.add_setting("input_format", "FORMAT", "auto (default), text, tokens, conll or jsonl")
    parser.add_setting(
        "threads",
        "N",
        "processor cores to use, with a process on each (default: all); short input needs only one",
    )
    return parser


def report_parser() -> CommandParser:
    """Parser of `ner-lab report`."""
    parser = CommandParser(
        "report",
        usage=[
            "FOLDER [--output DIR] [--split test|dev] [--baseline NAME] [--rounds N]",
            "LEDGER [--study NAME] [--output DIR] ...",
        ],
        about=_ABOUT_REPORT,
        words=("FOLDER", "the folder of a study or of runs, outputs/NAME, or a ledger"),
        positions=("folder",),
    )
    parser.add_setting("study", "NAME", "only this study of a ledger")
    parser.add_setting(
        "output", "DIR", "where to write report.md, report.html, table.tex, CSV and plots/ (FOLDER/report)"
    )
    parser.add_setting("split", "SPLIT", "the split of tests and effects: test, or dev where no run has test")
    parser.add_setting(
        "baseline",
        "NAME",
        "what the others are compared with: its choices or label (default: that of the study, else the first)",
    )
    parser.add_setting("rounds", "N", "rounds of approximate randomisation over sentences, for each comparison (10000)")
    return parser


def results_parser() -> CommandParser:
    """Parser of `ner-lab results`."""
    parser = CommandParser(
        "results",
        usage=["add FOLDER... [--note TEXT] [--replace] [--ledger DIR]", "match [--ledger DIR]"],
        about=_ABOUT_RESULTS,
        words=("add|match [FOLDER ...]", "what to do, then folders of runs or studies"),
    )
    parser.add_setting("ledger", "DIR", "the folder of the ledger (results)")
    parser.add_argument(
        "--note",
        action="append",
        default=[],
        metavar="TEXT",
        help="on the inputs of these runs, such as '58,513 of 400,000 vectors estimated'; may be repeated",
    )
    parser.add_flag("replace", "replace a run of the same configuration, seed, commit")
    return parser


def score_parser() -> CommandParser:
    """Parser of `ner-lab score`."""
    parser = CommandParser(
        "score",
        usage=["FILE... [--json]"],
        about=_ABOUT_SCORE,
        words=("FILE", "files of predictions"),
    )
    parser.add_flag("json", "print the figures as JSON")
    return parser


def sweep_parser() -> CommandParser:
    """Parser of `ner-lab sweep`; what it does not know is passed to Hydra."""
    parser = CommandParser(
        "sweep",
        usage=[
            "NAME [GROUP=OPTION ...] [KEY=VALUE ...]   run its unfinished jobs",
            "NAME|FOLDER --status                      print its progress and the time left",
            "NAME|FOLDER --watch                       the same, updated while it runs",
            "NAME --wandb                              print it as a sweep for agents of W&B",
            "                                          list the studies",
        ],
        about=_ABOUT_SWEEP,
        words=("NAME [KEY=VALUE ...]", "a file of sweeps/, here or in the package, or a path to one; then overrides"),
    )
    parser.add_flag("status", "print the progress of a study")
    parser.add_flag("watch", "print the progress of a study, and update it while the study runs")
    parser.add_flag("wandb", "print the study as a file for `wandb sweep` (docs/wandb.md)")
    return parser


_ABOUT_SWEEP = """The jobs of a study are in outputs/NAME/CHOICES/seed=N. The same command again skips what is
finished, resumes what was stopped or killed, repeats what failed, and adds what is new, such as
further seeds:

  ner-lab sweep chars_by_decoder 'seed=range(1,6)'
  ner-lab sweep chars_by_decoder hydra.launcher.n_jobs=2 trainer=ddp
  ner-lab sweep chars_by_decoder hydra/launcher=submitit_slurm

It is `ner-lab train -m --config-dir sweeps --config-name NAME`, and takes the same arguments:
  hydra.launcher.n_jobs            jobs at the same time
  hydra.launcher.gpus=[0,1]        GPUs to distribute
  hydra.launcher.on_config_change  finished jobs of another config: refuse, keep or redo
  hydra.sweep.dir=DIR              the folder of the study"""
_ABOUT_CHECK = """Composes an experiment as `ner-lab train` does, reads its data and puts two small batches
through the tagger. Each part must keep the contract of its kind (docs/parts.md): sizes, one loss
for each sentence, tags that exist, the same results with and without padding, gradients, one step
of the optimizer. No file and no run folder is written."""
_ABOUT_COMPARE = """Compares two runs: what differs in their settings, their scores and whether the difference may be
chance, their errors, and the sentences that only one of them gets right. A and B are folders of
runs, or of configurations of a study, whose runs are then paired by seed."""
_ABOUT_DASHBOARD = """Creates a W&B workspace and a report for the runs of a study: scores by configuration, learning
curves, errors. It needs a key (wandb login) and the extra ner-lab[dashboards]."""
_ABOUT_EVALUATE = """Scores the best checkpoint of a run. Without `data` it is scored on the run's own corpus, with the
scores of its metrics.json. With `data` it is scored on another corpus, read as that option says and
normalised as in training: data=conll2003 data.dir=DIR, or data=files data.test=FILE. Such files
have the columns and separator of the run's data, unless data.columns or data.separator are given.
If their entity types have other names: data.map_types={PERSON: PER}."""
_ABOUT_REPORT = """Writes tables, plots and tests of the runs in a folder: that of a study (outputs/NAME), or any tree
of runs. It works at any time, also while a study is running. A ledger (see `ner-lab results`) gets
a report for each of its studies, in OUTPUT/NAME, without the plots that need predictions."""
_ABOUT_PREDICT = """Tags text with the best checkpoint of a run, streaming from input to output. An output FILE is
called FILE.part until it is complete.

output formats
  conll   a token and its tag on each line, a blank line between sentences; tags in IOB2
  jsonl   a sentence on each line: {"tokens": [...], "tags": [...], "entities": [...]}; for input in
          JSON a line for each line, with its other fields, and for "text" start_char and end_char
  text    the text with its entities marked: [PER Anna Holm] lives in [LOC Oslo]

input formats
  auto    recognised by the file's name or its first lines; typed input is text
  text    running text; a line break ends a paragraph
  tokens  a sentence on each line, tokens separated by blanks
  conll   a token on each line, a blank line between sentences; columns are those of the run's data,
          unless data.columns.word, data.separator or data.docstart are given
  jsonl   {"tokens": [...]} or {"text": "..."} on each line; if both are given, tokens are used"""
_ABOUT_DATA = """stats      print documents, sentences, tokens and entities per type
download   fetch the corpus into the cache and print the paths of its files
export     write the splits as four columns: word, POS, chunk, tag
lexicon    build the entries of a lexicon from lists of names"""
_ABOUT_RESULTS = """`add` puts finished runs into the ledger, a small file each: configuration, seed, scores, counts of
each sentence, learning curve, time, machine, versions, commit, checksums of the inputs. It stores
no text of the corpus and no path. `ner-lab report results` makes tables, plots and tests of it.

Adding a run again changes nothing; from another study it adds the study's name. Unfinished runs of
a study are listed and skipped. A failed or unfinished run is refused (exit code 2), and so is a
second run of one configuration and seed on one commit. A run belongs to every study of sweeps/ that
has its configuration; `match` looks for these again after studies have changed."""
_ABOUT_SCORE = """Scores prediction files of any system: a token on each line, further columns, gold tag, predicted
tag (the last two columns), a blank line between sentences. Tags may be in IO, IOB1, IOB2, IOBES or
BILOU, which is recognised; they are read as conlleval reads them. seqeval's strict F1 is added.
-DOCSTART- lines are skipped; conlleval counts each as a correct token, so its accuracy is slightly
higher for files that have them. Several files of the same sentences are compared with the first by
approximate randomisation over sentences, corrected for their number by Holm's method."""

PARSERS: Mapping[str, Callable[[], CommandParser]] = {
    "sweep": sweep_parser,
    "check": check_parser,
    "compare": compare_parser,
    "dashboard": dashboard_parser,
    "evaluate": evaluate_parser,
    "report": report_parser,
    "predict": predict_parser,
    "data": data_parser,
    "results": results_parser,
    "score": score_parser,
}
