"""The benchmarks' scripts run and save what the documentation can print. What they measure is no test's business."""

import importlib
import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("benchmarks", "docs"):
        monkeypatch.syspath_prepend(str(ROOT / folder))


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module = importlib.import_module("measure")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks/tried.py"])
    yield module
    for shown in (module._tables, module._notes, module._goals):
        shown.clear()


@pytest.fixture
def performance() -> ModuleType:
    return importlib.import_module("performance")


class InThisProcess:
    """In place of `measure.Worker`: what a worker's process would answer, without starting one."""

    def __init__(self, arguments: list[str]) -> None:
        given = dict(zip(arguments[1::2], arguments[2::2], strict=False))
        self._train = importlib.import_module("train")
        self._options = Namespace(threads=int(given["--threads"]), data=None, vectors=None)

    def ask(self, what: str, batch: int) -> Any:
        return self._train.inside_answer(self._options, self._train.QUICK, what, batch)

    def close(self) -> None:
        pass


def child_here(arguments: list[str], threads: int | None = None) -> dict[str, Any]:
    """In place of `measure.child`: a point of growth, measured in this process."""
    growth = importlib.import_module("growth")
    given = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    size = growth.Size(*json.loads(given["--point"]))
    return growth.point(Path(given["--folder"]), size, float(given["--seconds"]))


@pytest.mark.parametrize("script", [pytest.param("train", marks=pytest.mark.soak), "growth", "ddp"])
def test_a_script_saves_what_the_page_prints_and_draws(
    script: str, tmp_path: Path, measure: ModuleType, performance: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(script)
    monkeypatch.setattr(measure, "Worker", InThisProcess)
    monkeypatch.setattr(measure, "child", child_here)
    monkeypatch.setattr(importlib.import_module("product"), "train_rates", lambda *_: [800.0, 900.0, 1000.0])
    if script == "ddp":
        monkeypatch.setattr(module, "train_rates", lambda *_: [800.0, 900.0, 1000.0])
    monkeypatch.setattr(sys, "argv", [f"benchmarks/{script}.py", "--quick"])
    module.main()
    saved = json.loads((tmp_path / f"{script}.json").read_text(encoding="utf-8"))
    assert (saved["name"], saved["command"]) == (script, f"python benchmarks/{script}.py --quick")
    page = performance.text({script: saved})
    for table in saved["tables"]:
        assert f"**{table['title']}**" in page
        assert all(len(row) == len(table["header"]) for row in table["rows"])
    plots = performance.draw({script: saved}, tmp_path / "plots")
    assert [f"performance/{name}.svg" for name in plots] == re.findall(r"\((performance/\w+\.svg)\)", page)


@pytest.mark.soak
def test_the_rates_of_training_are_those_of_the_products_epochs(tmp_path: Path) -> None:
    product = importlib.import_module("product")
    small = ["data=builtin", "word_embedding=random_50", "char_encoder=none", "encoder=none", "logger=none"]
    rates = product.train_rates([*small, "trainer.max_epochs=2", "trainer.limit_train_batches=2"], tmp_path / "run")
    history = json.loads((tmp_path / "run" / "metrics.json").read_text())["history"]
    assert rates == [entry["tokens_per_second"] for entry in history]
    assert len(rates) == 2
    with pytest.raises(RuntimeError, match=r"trainer\.max_epoch"):
        product.train_rates([*small, "trainer.max_epoch=2"], tmp_path / "wrong")


def test_shares_of_a_step_add_up_and_name_each_part(measure: ModuleType) -> None:
    product, profile_parts = (importlib.import_module(name) for name in ("product", "profile_parts"))
    overrides = [*product.MA_HOVY, *product.source(None, None), "data.batch_size=10"]
    parts = product.build(product.config(overrides))
    shares = profile_parts.shares(parts, steps=2)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())
    assert set(shares) == {
        *("LSTM", "CRF", "char encoder", "word vectors", "dropout", "optimizer", "batching", "autograd, Python"),
    }
    assert "forward" not in vars(parts.module.tagger.encoder)


def test_jobs_run_in_turn_round_by_round(measure: ModuleType) -> None:
    order: list[str] = []
    jobs = {name: lambda name=name: order.append(name) or float(len(order)) for name in ("ours", "theirs")}
    assert measure.alternate(jobs, 2) == {"ours": [1.0, 3.0], "theirs": [2.0, 4.0]}
    assert order == ["ours", "theirs", "ours", "theirs"]


def test_a_ratio_is_taken_within_each_round(measure: ModuleType) -> None:
    assert measure.ratio([10.0, 30.0, 8.0], [5.0, 10.0, 2.0]) == 3.0


def test_what_was_shown_is_saved_once(measure: ModuleType, tmp_path: Path) -> None:
    measure.show("First", ["what", "ms"], [["one", 0.12345], ["many", 12345.6]])
    measure.note("Milliseconds.")
    measure.goal("one", "under 1 ms", "0.123 ms", True)
    saved = json.loads(measure.save("first", {"exact": 0.12345}).read_text())
    assert saved["tables"] == [
        {
            "title": "First",
            "header": ["what", "ms"],
            "rows": [["one", "0.123"], ["many", "12,346"]],
            "numeric": [False, True],
        }
    ]
    assert saved["notes"] == ["Milliseconds."]
    assert saved["goals"] == [{"what": "one", "goal": "under 1 ms", "measured": "0.123 ms", "reached": True}]
    assert saved["figures"] == {"exact": 0.12345}
    assert saved["machine"]["versions"]["torch"]
    assert json.loads(measure.save("second", {}).read_text())["tables"] == []


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--data", "/somewhere/of/mine/conll2003", "--rounds", "3"], "--data conll2003 --rounds 3"),
        (["--data=/somewhere/of/mine/conll2003/"], "--data=conll2003"),
        (["--vectors", "~/glove.txt"], "--vectors glove.txt"),
        (["--data", "data/conll2003"], "--data data/conll2003"),
    ],
)
def test_the_command_line_names_no_folder_of_the_machine(arguments: list[str], shown: str, measure: ModuleType) -> None:
    assert (
        measure.command_line(["/my/checkout/benchmarks/train.py", *arguments]) == f"python benchmarks/train.py {shown}"
    )


def test_a_worker_answers_in_its_own_process_whatever_else_it_prints(measure: ModuleType, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        f"import os, sys\nsys.path.insert(0, {str(ROOT / 'benchmarks')!r})\nimport measure\nprint('made ready')\n"
        "def answer(question):\n    print('at it')\n    return [os.getpid(), question['number'] + 1]\n"
        "measure.serve(answer)\n"
    )
    worker = measure.Worker([str(script)])
    (first, two), (second, three) = worker.ask(number=1), worker.ask(number=2)
    worker.close()
    assert (two, three) == (2, 3)
    assert first == second != os.getpid()


def test_a_worker_that_dies_says_why(measure: ModuleType, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text("raise ValueError('no such corpus')\n")
    with pytest.raises(RuntimeError, match="no such corpus"):
        measure.Worker([str(script)])


@pytest.mark.parametrize("constant", [0.0, 100.0])
def test_the_exponent_of_growth_is_1_where_it_is_linear_whatever_is_paid_once(constant: float) -> None:
    growth = importlib.import_module("growth")
    sizes = [1, 10, 100, 1000]
    assert growth.exponent(sizes, [constant + 3 * size for size in sizes]) == pytest.approx(1)


def test_the_exponent_of_growth_tells_squares_and_what_does_not_grow() -> None:
    growth = importlib.import_module("growth")
    assert growth.exponent([1, 50, 100, 200], [5 + size**2 for size in (1, 50, 100, 200)]) == pytest.approx(2, abs=0.03)
    assert abs(growth.exponent([1, 10, 100], [1.0, 1.1, 0.9])) < 0.03
    assert abs(growth.exponent([1, 10, 100], [1.6, 0.9, 1.6])) < 0.03


def test_made_up_text_has_every_word_and_the_sizes_asked_for(tmp_path: Path) -> None:
    growth = importlib.import_module("growth")
    size = growth.Size(sentences=30, length=7, types=3, words=150)
    growth.write_corpus(tmp_path, size)
    sentences = [block.splitlines() for block in (tmp_path / "train.txt").read_text().strip().split("\n\n")]
    assert [len(sentence) for sentence in sentences] == [7] * 30
    rows = [line.split() for sentence in sentences for line in sentence]
    assert len({word for word, _ in rows}) == 150
    assert {tag[2:] for _, tag in rows if tag != "O"} == {"T0", "T1", "T2"}
    for sentence in sentences:
        tags = ["O", *(line.split()[1] for line in sentence)]
        assert all(one[2:] == two[2:] for one, two in pairwise(tags) if two.startswith("I-"))


def test_more_processes_pay_from_the_batch_behind_which_they_always_do() -> None:
    ddp = importlib.import_module("ddp")
    speeds = {"10": (100, 60), "64": (100, 120), "128": (100, 90), "256": (100, 130), "512": (100, 150)}
    rates = {batch: {"1": one, "2": two} for batch, (one, two) in speeds.items()}
    assert ddp.pays_from(rates, "2") == "256"
    assert ddp.pays_from({"10": {"1": 2.0, "2": 1.0}}, "2") is None


def test_the_page_says_what_was_not_run(performance: ModuleType) -> None:
    page = performance.text({})
    assert "no GPU at hand" in page
    for name, (title, _) in performance.SECTIONS.items():
        assert f"## {title}" in page
        assert f"benchmarks/{name.removesuffix('_gpu')}.py" in page


def test_the_page_has_every_plot_and_every_plot_is_drawn(performance: ModuleType) -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\((performance/\S+\.svg)\)", page))
    assert linked == {f"performance/{file.name}" for file in (ROOT / "docs" / "performance").glob("*.svg")}


def test_results_name_no_folder_of_a_machine() -> None:
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users|var)/", file.read_text(encoding="utf-8")), file.name
