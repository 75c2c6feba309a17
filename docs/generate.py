"""Write what the documentation says of `conf/`: the tables in README.md and docs/config.md.

python docs/generate.py            write both
python docs/generate.py --check    exit 1 where they are not current
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
GROUPS = (
    "data",
    "word_embedding",
    "char_encoder",
    "features",
    "encoder",
    "decoder",
    "optimizer",
    "trainer",
    "logger",
    "paper",
)
PARTS = ("word_embedding", "char_encoder", "features", "encoder", "decoder", "optimizer")


def purpose(file: Path) -> str:
    """The first comment of an option: what it is and where it comes from."""
    lines = [line[2:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    return next(line for line in lines if not line.startswith("@package"))


def options(group: str) -> list[Path]:
    """The option files of a group that can be chosen."""
    return sorted(file for file in (CONF / group).glob("*.yaml") if file.stem != "base")


def readme_table() -> str:
    """Group, option, what it is."""
    rows = ["| group | option | what it is |", "| --- | --- | --- |"]
    for group in GROUPS:
        for number, file in enumerate(options(group)):
            rows.append(f"| {f'`{group}`' if number == 0 else ''} | `{file.stem}` | {purpose(file)} |")
    return "\n".join(rows)


def papers_table() -> str:
    """Paper, the test F1 it reports, the parts it chooses."""
    rows = [f"| `paper` | reported | {', '.join(f'`{group}`' for group in PARTS)} |", "| --- | --- | --- |"]
    for file in options("paper"):
        chosen = dict(re.findall(r"^  - override /(\w+): (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))
        if chosen:
            reported = re.search(r"test F1 ([\d.]+)", purpose(file))
            score = reported.group(1) if reported else ""
            rows.append(f"| `{file.stem}` | {score} | {', '.join(chosen[group] for group in PARTS)} |")
    return "\n".join(rows)


def config_reference() -> str:
    """Every option file whole: its keys, defaults and reasons are its own documentation."""
    parts = [
        "# Config reference",
        "",
        "Every group, option and key, with its default and the reason for it. An option is chosen with",
        "`group=option`, a key set with `group.key=value`; keys of the first section have no group.",
        "This page is generated from `conf/` by `make docs`.",
        "",
        "## The experiment",
        "",
        _block(CONF / "config.yaml"),
    ]
    for group in GROUPS:
        parts += ["", f"## {group}"]
        files = sorted((CONF / group).glob("*.yaml"), key=lambda file: (file.stem != "base", file.stem))
        for file in files:
            title = "common to all options" if file.stem == "base" else f"{group}={file.stem}"
            parts += ["", f"### {title}", "", _block(file)]
    return "\n".join(parts) + "\n"


def _block(file: Path) -> str:
    return f"```yaml\n{file.read_text(encoding='utf-8').rstrip()}\n```"


def pages() -> dict[Path, str]:
    """Each generated page as it should be."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, table in (("papers", papers_table()), ("options", readme_table())):
        begin, end = f"<!-- {name}: begin (make docs) -->", f"<!-- {name}: end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        readme = pattern.sub(f"{begin}\n{table}\n{end}".replace("\\", r"\\"), readme)
    return {
        ROOT / "README.md": readme,
        ROOT / "docs" / "config.md": config_reference(),
    }


def main() -> int:
    """Write the pages, or check them."""
    stale = [page for page, text in pages().items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for page in stale:
            print(f"{page.relative_to(ROOT)} is not current: make docs")
        return 1 if stale else 0
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
