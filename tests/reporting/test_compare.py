"""Two runs side by side: what is counted, which sentences are shown, what cannot be compared."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from sample import Outcome, marked

from ner_lab.errors import UserError
from ner_lab.reporting.compare.comparison import Comparison, compare
from ner_lab.reporting.compare.run_pairs import read_pair
from ner_lab.reporting.compare.sections import comparison_document
from ner_lab.reporting.render_terminal import terminal

GOLD = """
[PER Anna Holm] lives in [LOC Oslo] .
[ORG Nordbank] said no .
It rained .
[PER Ida Vik] met [PER Jonas] in [LOC Bergen] .
"""
A = """
[PER Anna Holm] lives in [LOC Oslo] .
[LOC Nordbank] said no .
It rained .
[PER Ida Vik] met Jonas in [LOC Bergen] .
"""
B = """
[PER Anna] Holm lives in [LOC Oslo] .
[ORG Nordbank] said no .
It [LOC rained] .
[PER Ida Vik] met [PER Jonas in] [LOC Bergen] .
"""
CONFIG: dict[str, Any] = {
    "data": {"name": "files", "_target_": "ner_lab.data.options.DataOptions", "_convert_": "all", "batch_size": 8},
    "decoder": {"_target_": "ner_lab.models.decoder.crf.CRF", "_partial_": True, "constraints": "none"},
    "seed": 1,
    "run_name": "one",
}


def write_predictions(path: Path, gold: str, predicted: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for truth, guess in zip(marked(gold), marked(predicted), strict=True):
        assert truth.words == guess.words
        lines += [" ".join(row) + "\n" for row in zip(truth.words, truth.tags(), guess.tags(), strict=True)] + ["\n"]
    path.write_text("".join(lines), encoding="utf-8")


def make_run(
    folder: Path,
    predicted: str | None,
    *,
    gold: str = GOLD,
    seed: int = 1,
    config: dict[str, Any] | None = None,
    splits: Sequence[str] = ("test",),
    **metrics: Any,
) -> Path:
    """A run folder; without predictions it is one that did not come to its end."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **(config or {}), "seed": seed}))
    (folder / "run.json").write_text(json.dumps({"code": "c0de"}))
    if predicted is None:
        return folder
    for split in splits:
        write_predictions(folder / "predictions" / f"{split}.conll", gold, predicted)
    scores = {"status": "ok", "failure": None, "seed": seed, "train_on": ["train"], "dev": {"f1": 1.0}} | metrics
    (folder / "metrics.json").write_text(json.dumps(scores))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return make_run(tmp_path / "a", A), make_run(tmp_path / "b", B)


def comparison(a: Path, b: Path, rounds: int = 200) -> Comparison:
    return compare(read_pair(a, b, "test"), rounds=rounds)


def rows_of(text: str) -> list[list[str]]:
    """Lines of a table in cells."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


# what is counted


def test_scores_mistakes_and_entities_are_counted_as_by_hand(runs: tuple[Path, Path]) -> None:
    found = comparison(*runs)
    counts = {
        name: [tuple(row[column] for column in ("correct", "predicted", "gold")) for row in rows]
        for name, rows in found.scores.items()
    }
    assert counts == {
        "LOC": [(2, 3, 2), (2, 3, 2)],
        "ORG": [(0, 0, 1), (1, 1, 1)],
        "PER": [(2, 2, 3), (1, 3, 3)],
        "all": [(4, 5, 6), (4, 7, 6)],
    }
    assert found.scores["all"][0]["f1"] == pytest.approx(800 / 11)
    assert found.mistakes == {
        "wrong type": (1, 0),
        "wrong boundary": (0, 2),
        "wrong type and boundary": (0, 0),
        "missed": (1, 0),
        "spurious": (0, 1),
    }
    assert found.entities == {
        "LOC": {"both": 2, "only A": 0, "only B": 0, "neither": 0},
        "ORG": {"both": 0, "only A": 0, "only B": 1, "neither": 0},
        "PER": {"both": 1, "only A": 1, "only B": 0, "neither": 1},
        "all": {"both": 3, "only A": 1, "only B": 1, "neither": 1},
    }
    assert found.sentences == {"both": 0, "only A": 2, "only B": 1, "neither": 1}
    assert [example.number for example in found.better_a] == [1, 3]
    assert [example.number for example in found.better_b] == [2]


def test_the_test_is_of_the_difference_that_is_shown(runs: tuple[Path, Path]) -> None:
    found = comparison(*runs)
    a, b = (scores["f1"] for scores in found.scores["all"])
    assert found.by_seed == [(a, b)]
    assert found.test.difference == pytest.approx(b - a)
    assert found.test.low <= b - a <= found.test.high
    assert 0 < found.test.p <= 1


def test_of_several_seeds_the_mean_difference_is_tested(configurations: tuple[Path, Path]) -> None:
    found = comparison(*configurations)
    differences = [b - a for a, b in found.by_seed]
    assert found.test.difference == pytest.approx(sum(differences) / 2)


def test_exchanged_sides_exchange_everything(runs: tuple[Path, Path]) -> None:
    one, other = comparison(*runs), comparison(*reversed(runs))
    for name in ("settings", "scores", "mistakes"):
        there = getattr(other, name)
        assert getattr(one, name) == {key: (there[key][1], there[key][0]) for key in there}
    names = {"both": "both", "only A": "only B", "only B": "only A", "neither": "neither"}
    assert one.sentences == {name: other.sentences[names[name]] for name in names}
    assert [example.number for example in one.better_a] == [example.number for example in other.better_b]
    assert one.test.difference == pytest.approx(-other.test.difference)


def test_runs_that_predict_the_same_differ_in_nothing(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    a, b = make_run(tmp_path / "a", A), make_run(tmp_path / "b", A)
    found = comparison(a, b)
    assert (found.test.difference, found.test.p) == (0.0, 1.0)
    assert (dict(found.settings), list(found.better_a), list(found.better_b)) == ({}, [], [])
    outcome = cli("compare", str(a), str(b))
    assert (outcome.code, outcome.err) == (0, "")
    assert "Settings\n  Nothing differs." in outcome.out
    assert ["all", *(cell for value in ("80.00", "66.67", "72.73") for cell in (value, value, "0.00"))] in rows_of(
        outcome.out
    )


def test_settings_that_differ_are_shown_and_no_others(tmp_path: Path) -> None:
    decoder = {"_target_": "ner_lab.models.decoder.softmax.Softmax", "_partial_": True, "layers": [2, "x"], "dim": None}
    config = {"decoder": decoder, "run_name": "two"}
    a, b = make_run(tmp_path / "a", A), make_run(tmp_path / "b", B, config=config, seed=2)
    assert comparison(a, b).settings == {
        "decoder": ("crf.CRF", "softmax.Softmax"),
        "decoder.constraints": ("none", "-"),
        "decoder.dim": ("-", "null"),
        "decoder.layers": ("-", '[2, "x"]'),
        "seed": ("1", "2"),
    }


def test_settings_stand_by_group_with_the_class_of_a_part_first(tmp_path: Path) -> None:
    config = {
        "data": {"z": 1, "_target_": "x.Other", "batch_size": 9},
        "decoder": {"_target_": "y.Other"},
        "new": {"k": 1},
    }
    found = comparison(make_run(tmp_path / "a", A), make_run(tmp_path / "b", B, config=config))
    assert list(found.settings) == [
        *("data", "data.batch_size", "data.name", "data.z"),
        *("decoder", "decoder.constraints"),
        "new.k",
    ]


# several seeds


@pytest.fixture
def configurations(tmp_path: Path) -> tuple[Path, Path]:
    """Seeds 1, 2 and 3 of A, where 3 did not finish; seeds 2, 1, 3 and 5 of B."""
    a, b = tmp_path / "decoder=crf", tmp_path / "decoder=softmax"
    make_run(a / "seed=1", A, seed=1)
    make_run(a / "seed=2", GOLD, seed=2)
    make_run(a / "seed=3", None, seed=3)
    for seed, predicted in ((1, B), (2, A), (3, A), (5, B)):
        make_run(b / f"seed={seed}", predicted, seed=seed)
    return a, b


def test_configurations_are_paired_by_seed_and_summed(configurations: tuple[Path, Path]) -> None:
    found = comparison(*configurations)
    assert found.pair.seeds == [run.seed for run in found.pair.b.runs] == [1, 2]
    counts = [tuple(row[column] for column in ("correct", "predicted", "gold")) for row in found.scores["all"]]
    assert counts == [(4 + 6, 5 + 6, 12), (4 + 4, 7 + 5, 12)]
    assert found.by_seed == [pytest.approx((800 / 11, 800 / 13)), pytest.approx((100.0, 800 / 11))]
    assert found.entities["ORG"] == {"both": 0, "only A": 1, "only B": 1, "neither": 0}
    assert sum(found.sentences.values()) == 8
    assert found.sentences == {"both": 2, "only A": 4, "only B": 1, "neither": 1}


def test_sentences_are_shown_that_one_gets_right_with_more_seeds(configurations: tuple[Path, Path]) -> None:
    found = comparison(*configurations)
    shown = [(example.number, example.right, example.seed) for example in found.better_a]
    # sentence 1: seeds 1, 2 against 2 alone; 3: 1, 2 against 2; 4: 2 against none; 2: one each, in neither list
    assert shown == [(1, (2, 1), 1), (3, (2, 1), 1), (4, (1, 0), 2)]
    assert found.better_b == []
    example = found.better_a[-1]
    assert example.a.predicted == example.a.gold
    assert [span.start for span in example.b.predicted] == [0, 5]


def test_the_clearest_sentences_come_first(tmp_path: Path) -> None:
    gold = "[PER a]\n[PER b]\n[PER c]"
    for seed, a in ((1, "[PER a]\n[PER b]\nc"), (2, "a\n[PER b]\n[PER c]"), (3, "a\n[PER b]\n[PER c]")):
        make_run(tmp_path / "x=1" / f"seed={seed}", a, gold=gold, seed=seed)
        make_run(tmp_path / "x=2" / f"seed={seed}", "a\nb\nc", gold=gold, seed=seed)
    found = comparison(tmp_path / "x=1", tmp_path / "x=2")
    assert [(example.number, example.right[0]) for example in found.better_a] == [(2, 3), (3, 2), (1, 1)]
    assert [example.seed for example in found.better_a] == [1, 2, 1]


def test_what_is_left_out_and_why_is_said(configurations: tuple[Path, Path], cli: Callable[..., Outcome]) -> None:
    outcome = cli("compare", *map(str, configurations))
    assert "2 seeds: 1, 2\n" in outcome.out
    assert "left out of A: seed 3 (no metrics.json" in outcome.out
    assert "left out of B: seed 3 (the other side has no finished run of it)" in outcome.out
    assert "left out of B: seed 5 (the other side has no finished run of it)" in outcome.out
    assert ["mean", "86.36", "67.13", "−19.23"] in rows_of(outcome.out)
    assert "(right with 1 of 2 seeds of A and 0 of B; seed 2 is shown): missed, [PER Jonas]" in outcome.out


def test_single_runs_of_different_seeds_are_compared(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a" / "seed=1", A, seed=1), make_run(tmp_path / "b" / "seed=2", B, seed=2)
    assert comparison(a.parent, b).settings == {"seed": ("1", "2")}
    make_run(tmp_path / "a" / "seed=3", A, seed=3)
    with pytest.raises(UserError, match=r"no seed in common: A \(.*a\) has finished seeds 1, 3; B \(.*\) has 2\."):
        read_pair(a.parent, b, "test")


def test_of_several_runs_with_one_seed_the_newest_is_compared(tmp_path: Path) -> None:
    for hour, predicted in ((9, GOLD), (11, A), (10, GOLD)):
        make_run(tmp_path / "a" / "seed=1" / f"2026-01-01_{hour:02}-00-00", predicted)
    pair = read_pair(tmp_path / "a", make_run(tmp_path / "b", B), "test")
    assert [run.folder.name for run in pair.a.runs] == ["2026-01-01_11-00-00"]
    assert list(pair.notes) == ["left out of A: 2 older with the same seed"]


def test_code_that_changed_and_training_on_dev_are_pointed_out(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", A, splits=("dev",))
    b = make_run(tmp_path / "b", B, splits=("dev",), train_on=["train", "dev"])
    (b / "run.json").write_text(json.dumps({"git": {"commit": "0123456789abcdef"}}))
    assert list(read_pair(a, b, "dev").notes) == [
        "made by several states of the code: A c0de; B 01234567",
        "B trained on dev, so scores on dev say nothing",
    ]


# what is said


def test_the_terminal_gets_tables_and_sentences_with_entities_marked(
    runs: tuple[Path, Path], cli: Callable[..., Outcome]
) -> None:
    outcome = cli("compare", *map(str, runs))
    assert (outcome.code, outcome.err) == (0, "")
    assert "\x1b" not in outcome.out
    rows = rows_of(outcome.out)
    assert "test: 4 sentences, 20 tokens, 6 gold entities" in outcome.out
    f1 = ["72.73", "61.54", "−11.19"]
    assert ["all", "80.00", "57.14", "−22.86", "66.67", "66.67", "0.00", *f1] in rows
    assert ["wrong boundary", "0", "2", "+2"] in rows
    assert ["all", "3", "1", "1", "1"] in rows
    assert ["sentences", "0", "2", "1", "1"] in rows
    assert (
        "Right in A, wrong in B\n"
        "  2 sentences\n"
        "  sentence 1: wrong boundary, [PER Anna Holm] read as [PER Anna]\n"
        "    gold  [PER Anna Holm] lives in [LOC Oslo] .\n"
        "    A     [PER Anna Holm] lives in [LOC Oslo] .\n"
        "    B     [PER Anna] Holm lives in [LOC Oslo] .\n"
        "\n"
        "  sentence 3: spurious, [LOC rained]\n"
        "    gold  It rained .\n"
        "    A     It rained .\n"
        "    B     It [LOC rained] .\n"
        "\n"
        "Right in B, wrong in A\n"
        "  1 sentence\n"
        "  sentence 2: wrong type, [ORG Nordbank] read as [LOC Nordbank]\n"
    ) in outcome.out


def test_as_many_sentences_are_shown_as_asked_for(runs: tuple[Path, Path], cli: Callable[..., Outcome]) -> None:
    outcome = cli("compare", *map(str, runs), "show=1")
    assert "2 sentences, the first 1:\n  sentence 1:" in outcome.out
    assert "sentence 3" not in outcome.out
    none = cli("compare", *map(str, runs), "show=0").out
    assert "gold  " not in none
    assert none.count("  2 sentences\n") == 1


def test_a_terminal_gets_colours(runs: tuple[Path, Path]) -> None:
    text = terminal(comparison_document(comparison(*runs), 5))
    styles = {(text.plain[span.start : span.end].strip(), str(span.style)) for span in text.spans}
    assert {("−22.86", "red"), ("+2", "red"), ("−1", "green"), ("+100.00", "green")} <= styles
    assert {("[PER Anna]", "red"), ("[PER Anna Holm]", "green"), ("[PER Anna Holm]", "cyan")} <= styles
    assert not [style for cell, style in styles if cell == "0.00"]


@pytest.mark.parametrize("order", [("{a}", "{b}"), ("a={a}", "b={b}"), ("b={b}", "{a}"), ("{b}", "a={a}")])
def test_folders_are_given_by_place_or_by_name(
    order: tuple[str, str], tmp_path: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "decoder=crf" / "seed=1", A)
    make_run(tmp_path / "decoder=memm", B)
    arguments = [argument.format(a="decoder=crf/seed=1", b="decoder=memm") for argument in order]
    outcome = cli("compare", *arguments)
    assert outcome.code == 0, outcome.said
    assert "A is decoder=crf/seed=1\n  B is decoder=memm\n" in outcome.out


def test_another_split_is_compared_when_asked_for(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    folders = [str(make_run(tmp_path / name, A, splits=("dev", "extra"))) for name in "ab"]
    assert "extra: 4 sentences" in cli("compare", *folders, "split=extra").out
    refused = cli("compare", *folders)
    assert refused.code == 2
    assert "a: no predictions/test.conll. There are predictions for dev, extra: give split=dev." in refused.err


# files


class Page(HTMLParser):
    """Text, tags and what is fetched from elsewhere."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.classes: list[tuple[str, str]] = []
        self.fetched: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br", "img", "link", "input"):
            self._open.append(tag)
        self.classes += [(tag, str(value)) for name, value in attrs if name == "class"]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text.append(data)


def test_the_page_stands_alone_and_says_what_the_terminal_says(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    gold = "<b>x</b> &amp; [PER <script>alert(1)</script>] ."
    a = make_run(tmp_path / "a", gold, gold=gold)
    b = make_run(tmp_path / "b", gold.replace("PER", "ORG"), gold=gold, config={"extra": "<i>"})
    outcome = cli("compare", str(a), str(b), f"output={tmp_path / 'new' / 'page.html'}")
    assert outcome.out.endswith(f"written to {tmp_path / 'new' / 'page.html'}\n")
    source = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    page = Page(source)
    assert all(link.startswith("#") for link in page.fetched)
    assert "url(" not in source
    text = "".join(page.text)
    assert "<script>alert(1)</script>" in text
    assert source.count("<script") == 1
    for word in ("<i>", "−100.00", "wrong type", "Right in A, wrong in B", "<b>x</b> &amp; "):
        assert word in text
    assert page.classes.count(("span", "entity right")) == 2  # the key's and A's
    assert page.classes.count(("span", "entity wrong")) == 2
    assert ("td", "number worse") in page.classes


def test_markdown_has_every_table_with_cells_that_stay_cells(
    tmp_path: Path, runs: tuple[Path, Path], cli: Callable[..., Outcome]
) -> None:
    c = make_run(tmp_path / "c", B, config={"pattern": "a|b_c*"})
    assert cli("compare", str(runs[0]), str(c), f"output={tmp_path / 'c.md'}").code == 0
    text = (tmp_path / "c.md").read_text(encoding="utf-8")
    rows = [re.split(r" +(?<!\\)\| *", line.strip("| ")) for line in text.splitlines()]
    assert ["`pattern`", "`-`", r"a\|b\_c\*"] in rows
    assert ["wrong boundary", "0", "2", "+2"] in rows
    assert "\n    B     [PER Anna] Holm lives in [LOC Oslo] .\n" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_json_has_all_figures(configurations: tuple[Path, Path], tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    assert cli("compare", *map(str, configurations), f"output={tmp_path / 'c.json'}", "show=1").code == 0
    content = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    found = comparison(*configurations, rounds=10_000)
    assert content["a"] == {
        "folder": str(configurations[0]),
        "runs": [{"folder": str(configurations[0] / f"seed={seed}"), "seed": seed} for seed in (1, 2)],
    }
    assert content["scores"]["all"] == dict(zip("ab", found.scores["all"], strict=True))
    assert content["f1_by_seed"] == [dict(zip("ab", row, strict=True)) for row in found.by_seed]
    assert content["mistakes"]["missed"] == dict(zip("ab", found.mistakes["missed"], strict=True))
    assert (content["entities"], content["sentences"]) == (found.entities, found.sentences)
    assert content["test"]["p"] == found.test.p, "the same on every call"
    (example,) = content["better_a"]
    assert example["words"] == ["Anna", "Holm", "lives", "in", "Oslo", "."]
    assert (example["gold"], example["b"]) == (
        [["PER", 0, 2], ["LOC", 4, 5]],
        [["PER", 0, 1], ["LOC", 4, 5]],
    )


# what cannot be compared


def assert_refused(outcome: Outcome, *messages: str) -> None:
    assert outcome.code == 2, outcome.said
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    for message in messages:
        assert message in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give two folders of runs; a and b missing."),
        (["{a}"], "Give two folders of runs; b missing."),
        (["{a}", "{b}", "{b}/x"], "a and b given already."),
        (["{a}", "{a}/../a"], "are the same folder. Give two different ones."),
        (["{a}", "{a}/.."], "has runs of 2 configurations: a, b. Give the folder of one, such as"),
        (["{a}", "nowhere"], "nowhere: no such folder"),
        (["{a}", "no/where=1"], "no/where=1: no such folder"),
        (["{a}", "{b}", "rouns=1"], "unknown key 'rouns'. Did you mean 'rounds'?"),
        (["{a}", "{b}", "data=files"], "'data=files': compare takes no data options"),
        (["{a}", "{b}", "rounds=0"], "rounds must be a whole number of at least 1, such as 10000; got '0'."),
        (["{a}", "{b}", "show=-1"], "show must be a whole number of at least 0"),
        (
            ["{a}", "{b}", "split=tset"],
            "a: no predictions/tset.conll. There are predictions for test: give split=test.",
        ),
        (
            ["{a}", "{b}", "output=page.pdf"],
            "output must be a file name that ends in .html, .md, .json; got 'page.pdf'.",
        ),
        (["{a}", "{b}", "output=/dev/null/page.md"], "/dev/null"),
    ],
)
def test_wrong_arguments_are_refused_in_words(
    arguments: list[str], message: str, runs: tuple[Path, Path], cli: Callable[..., Outcome]
) -> None:
    a, b = runs
    outcome = cli("compare", *(argument.format(a=a, b=b) for argument in arguments))
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.said


def test_runs_on_different_sentences_are_refused_with_the_first(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    a = make_run(tmp_path / "a", A)
    other = GOLD.replace("It rained", "It snowed")
    b = make_run(tmp_path / "b", other, gold=other)
    assert_refused(
        cli("compare", str(a), str(b)),
        f"{a} and {b} have different sentences in predictions/test.conll: the first is sentence 3, "
        "'rained .' and 'snowed .'. Only runs on the same test file can be compared.",
    )
    longer = make_run(tmp_path / "longer", GOLD + "Good night", gold=GOLD + "Good night")
    assert_refused(cli("compare", str(a), str(longer)), "is sentence 5, nothing and 'Good night'.")
    assert_refused(cli("compare", str(longer), str(a)), "is sentence 5, 'Good night' and nothing.")


def test_runs_against_different_gold_are_refused(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    a = make_run(tmp_path / "a", A)
    b = make_run(tmp_path / "b", A, gold=GOLD.replace("[ORG Nordbank]", "[LOC Nordbank]"))
    assert_refused(
        cli("compare", str(a), str(b)), "different gold entities", "the first is sentence 2, 'Nordbank said no .'."
    )


def test_seeds_of_one_configuration_on_different_files_are_refused(tmp_path: Path) -> None:
    for seed, gold in ((1, GOLD), (2, GOLD.replace("Oslo", "Hamar"))):
        for name in ("x=1", "x=2"):
            make_run(tmp_path / name / f"seed={seed}", gold, gold=gold, seed=seed)
    with pytest.raises(UserError, match=r"seed=1 and .*x=1/seed=2 have different sentences .* is sentence 1"):
        read_pair(tmp_path / "x=1", tmp_path / "x=2", "test")


def test_runs_that_did_not_finish_well_are_refused(runs: tuple[Path, Path], cli: Callable[..., Outcome]) -> None:
    a, b = map(str, runs)
    (runs[1] / "metrics.json").write_text(json.dumps({"status": "failed", "failure": "loss is nan."}))
    assert_refused(cli("compare", a, b), f"{b} is not a finished run: loss is nan. Only finished runs can be compared.")
    (runs[1] / "metrics.json").unlink()
    assert_refused(cli("compare", a, b), f"{b} is not a finished run: no metrics.json")


def test_a_run_cannot_stand_on_both_sides(configurations: tuple[Path, Path], cli: Callable[..., Outcome]) -> None:
    a, _ = configurations
    assert_refused(cli("compare", str(a), str(a / "seed=1")), f"{a / 'seed=1'} is on both sides")


def test_a_damaged_file_of_predictions_is_named_with_its_line(
    runs: tuple[Path, Path], cli: Callable[..., Outcome]
) -> None:
    (runs[1] / "predictions" / "test.conll").write_text("Anna B-PER\n")
    assert_refused(cli("compare", *map(str, runs)), "b/predictions/test.conll:1: 2 columns")


def test_help_says_what_compare_takes(cli: Callable[..., Outcome]) -> None:
    outcome = cli("compare", "--help")
    assert outcome.code == 0
    assert outcome.out.startswith("usage: ner-lab compare A B ")
    for key in ("--split ", "--output ", "--show ", "--rounds "):
        assert key in outcome.out


def test_comparing_loads_no_torch() -> None:
    code = "import ner_lab.cli.compare, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
