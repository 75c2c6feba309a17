"""What is written about the software is what the software is."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from ner_lab.config.compose import options_of
from ner_lab.data.readers.markup import read_markup
from ner_lab.data.sentence import Counts

ROOT = Path(__file__).resolve().parent.parent
BUILTIN = ROOT / "ner_lab" / "data" / "builtin"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current(generator: ModuleType) -> None:
    stale = [page.name for page, text in generator.pages().items() if page.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs`"


def test_every_study_with_results_has_its_plot() -> None:
    plots = {file.stem for file in (ROOT / "docs" / "results").glob("*")}
    linked = set(re.findall(r"\]\(results/(\w+)\.svg\)", (ROOT / "docs" / "results.md").read_text(encoding="utf-8")))
    assert plots == linked


def test_the_readme_lists_every_option_of_every_group(generator: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    groups = {folder.name for folder in (ROOT / "conf").iterdir() if folder.is_dir()} - {"hydra"}
    assert groups == set(generator.GROUPS)
    for group in groups:
        for option in options_of(group):
            assert f"`{option}`" in readme


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_the_data_sheet_counts_the_built_in_corpus(split: str) -> None:
    counts = Counts.of(read_markup(split, BUILTIN / f"{split}.txt").sentences)
    sheet = (BUILTIN / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {split} \|.*$", sheet, re.MULTILINE)
    per_type = [counts.per_type[name] for name in ("LOC", "MISC", "ORG", "PER")]
    numbers = [counts.documents, counts.sentences, counts.tokens, counts.entities, *per_type]
    assert [int(cell.replace(",", "")) for cell in row.split("|")[2:-1]] == numbers
