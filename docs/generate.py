"""Write what the documentation says of `conf/` and `sweeps/`, tables in README.md, docs/config.md, docs/studies.md, and
of what the benchmarks measured, docs/performance.md, and of what the ledger in results/ holds, docs/results.md.

python docs/generate.py            write all
python docs/generate.py --check    exit 1 where they are not current
"""

import re
import sys
from math import prod
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parent))
import performance
import results_page

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
SWEEPS = ROOT / "sweeps"
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
    parts += ["", "## hydra", ""]
    for group, option in (("launcher", "process"), ("sweeper", "study")):
        parts += [f"### hydra/{group}={option}", "", _block(CONF / "hydra" / group / f"{option}.yaml"), ""]
    return "\n".join(parts).rstrip() + "\n"


def studies_page() -> str:
    """What each study asks, how many runs it takes, and the published figures it is held against."""
    files = sorted(SWEEPS.glob("*.yaml"))
    parts = [
        "# Studies",
        "",
        "One file of `sweeps/` each; `ner-lab sweep NAME` runs one, [sweeps.md](sweeps.md) says how.",
        "This page is generated from `sweeps/` by `make docs`.",
        "",
        "| study | what it asks | configurations | seeds |",
        "| --- | --- | --- | --- |",
    ]
    loaded = {file.stem: OmegaConf.load(file) for file in files}
    for name, study in loaded.items():
        configurations, seeds = _size(study)
        question = " ".join(str(study.study.question).split())
        parts.append(f"| [`{name}`](#{name}) | {question} | {configurations or ''} | {seeds or ''} |")
    for name, study in loaded.items():
        parts += ["", f"## {name}", "", *_comment(SWEEPS / f"{name}.yaml")]
        if published := _published(study):
            parts += ["", "| published | dev F1 | test F1 | source |", "| --- | --- | --- | --- |", *published]
    return "\n".join(parts) + "\n"


def _size(study: DictConfig) -> tuple[int, int]:
    """Configurations and seeds; 0 where a search decides."""
    sweeper = study.hydra.sweeper
    params = OmegaConf.select(sweeper, "params", default={})
    if "optuna" in str(study.defaults):
        return 0, 0
    values = {}
    for override in OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()]):
        swept = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
        values[override.key_or_group] = len(swept)
    seeds = values.pop("seed", 1)
    return max(1, len(OmegaConf.select(sweeper, "variants", default={}))) * prod(values.values()), seeds


def _comment(file: Path) -> list[str]:
    """The comment at a file's head, its commands as code."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    text = [line.removeprefix("#").removeprefix(" ") for line in head]
    return [f"    {line.strip()}" if line.startswith("  ") else line for line in _spaced(text)]


def _spaced(lines: list[str]) -> list[str]:
    """An empty line between text and code."""
    spaced: list[str] = []
    for line in lines:
        if spaced and line.startswith("  ") != spaced[-1].startswith("  "):
            spaced.append("")
        spaced.append(line)
    return spaced


def _published(study: DictConfig) -> list[str]:
    rows = []
    for name, figures in OmegaConf.select(study, "study.published", default={}).items():
        for entry in [figures] if OmegaConf.is_dict(figures) else figures:
            dev, test = (_figure(entry, split) for split in ("dev", "test"))
            rows.append(f"| {name} | {dev} | {test} | {entry.source} |")
    return rows


def _figure(entry: DictConfig, split: str) -> str:
    if entry.get(split) is None:
        return ""
    spread = entry.get(f"{split}_std")
    return f"{entry[split]:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")


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
        ROOT / "docs" / "studies.md": studies_page(),
        performance.PAGE: performance.text(performance.load()),
        results_page.PAGE: results_page.text(results_page.load()),
    }


def main() -> int:
    """Write the pages, or check them."""
    made = pages()
    stale = [page for page, text in made.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for page in stale:
            print(f"{page.relative_to(ROOT)} is not current: make docs")
        return 1 if stale else 0
    for page, text in made.items():
        page.write_text(text, encoding="utf-8")
    performance.draw(performance.load())
    results_page.draw(results_page.load())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
