"""`ner-lab COMMAND ...`"""

import importlib
import sys

_COMMANDS = {
    "train": ("ner_lab.train", "train a tagger:            ner-lab train paper=lample2016 seed=2"),
    "sweep": ("ner_lab.sweep", "run an ablation study:     ner-lab sweep chars_by_decoder"),
    "evaluate": ("ner_lab.evaluate", "score a run on data:       ner-lab evaluate run=DIR data=conll2003"),
    "predict": ("ner_lab.predict", "tag text with a run:       ner-lab predict run=DIR input=FILE format=jsonl"),
    "compare": ("ner_lab.compare.command", "two runs side by side:     ner-lab compare DIR DIR"),
    "report": ("ner_lab.report.command", "tables, plots and tests:   ner-lab report outputs/chars_by_decoder"),
    "dashboard": ("ner_lab.dashboard", "the same at W&B:           ner-lab dashboard chars_by_decoder entity=me"),
    "data": ("ner_lab.corpus", "count or fetch a corpus:   ner-lab data stats data=builtin"),
}


def usage() -> str:
    """The commands and what each is for."""
    lines = [f"  {name:<9} {text}" for name, (_, text) in _COMMANDS.items()]
    return "\n".join(
        [
            "ner-lab COMMAND [KEY=VALUE ...]: the laboratory for neural named entity recognition",
            "",
            *lines,
            "",
            "ner-lab COMMAND --help says what a command takes.",
        ]
    )


def main() -> None:
    """Hand over to a command; modules are imported only for the command that needs them."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        from ner_lab import __version__

        print(__version__)
        return
    command, *rest = arguments
    if command not in _COMMANDS:
        from ner_lab.suggest import nearest

        print(f"error: no command '{command}'{nearest(command, _COMMANDS)}\n\n{usage()}", file=sys.stderr)
        raise SystemExit(2)
    sys.argv = [f"{sys.argv[0]} {command}", *rest]
    importlib.import_module(_COMMANDS[command][0]).main()


if __name__ == "__main__":
    main()
