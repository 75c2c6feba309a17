"""`ner-lab COMMAND ...`"""

import importlib
import os
import sys

_COMMANDS = {
    "train": ("ner_lab.cli.train", "train a tagger:            ner-lab train paper=lample2016 seed=2"),
    "check": ("ner_lab.cli.check", "try it without training:   ner-lab check --config-dir my_conf char_encoder=mine"),
    "sweep": ("ner_lab.cli.sweep", "run an ablation study:     ner-lab sweep chars_by_decoder"),
    "evaluate": ("ner_lab.cli.evaluate", "score a run on data:       ner-lab evaluate RUN data=conll2003"),
    "predict": ("ner_lab.cli.predict", "tag text with a run:       ner-lab predict RUN --input FILE --format jsonl"),
    "score": ("ner_lab.cli.score", "score any system's file:    ner-lab score FILE FILE"),
    "compare": ("ner_lab.cli.compare", "two runs side by side:     ner-lab compare DIR DIR"),
    "report": ("ner_lab.cli.report", "tables, plots and tests:   ner-lab report outputs/chars_by_decoder"),
    "results": ("ner_lab.cli.results", "keep runs in the ledger:   ner-lab results add outputs/NAME"),
    "dashboard": ("ner_lab.cli.dashboard", "the same at W&B:           ner-lab dashboard chars_by_decoder --entity me"),
    "data": ("ner_lab.cli.data", "count or fetch a corpus:   ner-lab data stats data=builtin"),
}


def usage() -> str:
    """List the commands with their purpose."""
    lines = [f"  {name:<9} {text}" for name, (_, text) in _COMMANDS.items()]
    return "\n".join(
        [
            "ner-lab COMMAND [KEY=VALUE ...]: an experiment framework for named entity recognition",
            "",
            *lines,
            "",
            "ner-lab COMMAND --help describes a command.",
        ]
    )


def _say(text: str) -> None:
    """Print; the reader may have closed the pipe, as `head` does, or the disk may be full."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise SystemExit(141) from None
        print(f"error: standard output: {error.strerror}.", file=sys.stderr)
        raise SystemExit(2) from None


def main() -> None:
    """Run a command; only the modules of that command are imported."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _say(usage())
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        from ner_lab.version import __version__

        _say(__version__)
        return
    command, *rest = arguments
    if command not in _COMMANDS:
        from ner_lab.errors import nearest

        print(f"error: no command '{command}'{nearest(command, _COMMANDS)}\n\n{usage()}", file=sys.stderr)
        raise SystemExit(2)
    if command == "train" and rest in (["-h"], ["--help"]):
        from ner_lab.config.compose import help_of_train

        _say(help_of_train())
        return
    if command != "train" and {"-h", "--help"} & set(rest):
        from ner_lab.cli.parsers import PARSERS

        _say(PARSERS[command]().format_help().rstrip())
        return
    from ner_lab.io.os_errors import ensure_cwd_exists

    ensure_cwd_exists()
    sys.argv = [f"{sys.argv[0]} {command}", *rest]
    importlib.import_module(_COMMANDS[command][0]).main()


if __name__ == "__main__":
    main()
