"""`ner-lab compare A B`: compare two runs, or two configurations of a study."""

import sys
from pathlib import Path

from rich.text import Text

from ner_lab.cli.app import keyword_arguments, run_command
from ner_lab.errors import UserError, invalid_value
from ner_lab.io.terminal import show
from ner_lab.reporting.compare.comparison import compare
from ner_lab.reporting.compare.render import check_ending, write
from ner_lab.reporting.compare.run_pairs import read_pair
from ner_lab.reporting.compare.sections import comparison_document
from ner_lab.reporting.render_terminal import terminal

_KEYS = ("a", "b", "split", "output", "show", "rounds")
_USAGE = """ner-lab compare A B [--split test|dev] [--output FILE] [--show 20] [--rounds 10000]

Two runs side by side: what differs in their settings, their scores and whether the difference may be
chance, their mistakes, and the sentences that only one of them gets right. A and B are folders of
runs, or of configurations of a study, whose runs are then paired by seed.

split   the predictions to compare (test)
output  a file to write as well: a page (.html), Markdown (.md) or all figures (.json)
show    sentences shown that only A, and that only B, gets right (20)
rounds  of approximate randomisation (10000)"""


def _command() -> None:
    own, data = keyword_arguments(sys.argv[1:], _KEYS, _USAGE, ["a", "b"])
    if data:
        raise UserError(f"'{data[0]}': compare takes no data options; it reads what the runs predicted.")
    if missing := [name for name in ("a", "b") if not own.get(name)]:
        raise UserError(f"compare what? Give two folders of runs; {' and '.join(missing)} missing.\n\n{_USAGE}")
    rounds, shown = _whole(own, "rounds", 10_000, least=1), _whole(own, "show", 20, least=0)
    output = Path(own["output"]).expanduser() if own.get("output") else None
    if output is not None:
        check_ending(output)
    comparison = compare(read_pair(own["a"], own["b"], own.get("split", "test")), rounds=rounds)
    show(terminal(comparison_document(comparison, shown)))
    if output is not None:
        write(comparison, output, shown)
        show(Text(f"\nwritten to {output}"))


def _whole(own: dict[str, str], key: str, default: int, *, least: int) -> int:
    text = own.get(key, str(default))
    if not text.isdecimal() or int(text) < least:
        raise invalid_value(key, text, f"a whole number of at least {least}, such as {default}")
    return int(text)


def main() -> None:
    """Entry point of `ner-lab compare`."""
    run_command(_command)


if __name__ == "__main__":
    main()
