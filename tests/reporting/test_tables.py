"""Tables say what was found: in markdown, LaTeX and CSV, with nothing lost and nothing that breaks them."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_study import FOUR, grid, job, metrics, scores, write_plan, write_run

from ner_lab.reporting.aggregates import Summary
from ner_lab.reporting.analysis import Findings, find
from ner_lab.reporting.cells import Cell, Table, interval, mean_and_std, number, p_value, seconds
from ner_lab.reporting.exports import csv_runs, csv_table, csv_types, escape_latex, latex
from ner_lab.reporting.render_markdown import markdown
from ner_lab.reporting.sections import report_document
from ner_lab.reporting.study_runs import collect

SOFTMAX, CRF, CNN, BOTH = FOUR
PUBLISHED = {BOTH: [{"test": 75.5, "dev": 85.0, "test_std": 0.2, "n": 5, "source": "Somebody 2016, table 3"}]}


def found(folder: Path) -> Findings:
    return find(collect(folder), rounds=100)


def report(folder: Path) -> str:
    return markdown(report_document(found(folder)), folder)


def tables_in(text: str) -> list[list[dict[str, str]]]:
    """All tables of a markdown text, rows by their heads."""
    tables = []
    for block in re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE):
        lines = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]] for line in block.strip().splitlines()
        ]
        assert all(len(line) == len(lines[0]) for line in lines)
        tables.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return tables


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# cells


def test_numbers_are_written_as_people_read_them() -> None:
    assert number(91.215).text == "91.22"
    assert number(1234567, 0).text == "1,234,567"
    assert number(0.354, signed=True).text == "+0.35"
    assert number(-0.354, signed=True).text == "−0.35"
    assert number(-0.001, signed=True).text == "0.00"
    assert number(None) == Cell("–")
    assert interval(-0.5, 1.0, signed=True).text == "−0.50 to +1.00"
    assert interval(None, None).text == "–"


def test_a_deviation_is_shown_where_there_is_one() -> None:
    assert mean_and_std(Summary((90.0, 92.0))).text == "91.00 ± 1.41"
    assert mean_and_std(Summary((90.0,))).text == "90.00"
    assert mean_and_std(None).text == "–"


@pytest.mark.parametrize(("p", "text"), [(1.0, "1.000"), (0.0625, "0.062"), (0.004, "0.0040"), (1e-6, "<0.0001")])
def test_p_is_shown_to_the_digits_that_matter(p: float, text: str) -> None:
    assert p_value(p) == Cell(text, p)


@pytest.mark.parametrize(("value", "text"), [(4.56, "4.6 s"), (48.3, "48 s"), (720, "12 min"), (12240, "3.4 h")])
def test_times_are_in_the_unit_that_suits_them(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_column_is_one_of_numbers_if_all_its_cells_are() -> None:
    table = Table(["a", "b", "c"], [[number(1), number(None), Cell("x")], [number(None), number(None), number(2)]])
    assert table.numeric == [True, False, False]


# markdown


def test_the_main_table_has_a_row_for_each_configuration(tmp_path: Path) -> None:
    table = tables_in(report(grid(tmp_path, FOUR)))[0]
    assert [(row["char encoder"], row["decoder"], row["test F1"]) for row in table] == [
        ("none", "softmax", "62.00 ± 2.00"),
        ("none", "crf", "66.00 ± 1.00"),
        ("cnn", "softmax", "71.00 ± 1.00"),
        ("cnn", "crf", "74.00 ± 1.00"),
    ]
    assert [row["runs"] for row in table] == ["3"] * 4
    assert [row["dev F1"] for row in table] == ["72.00 ± 2.00", "76.00 ± 1.00", "81.00 ± 1.00", "**84.00 ± 1.00 †**"]
    assert "failed" not in table[0]


def test_rows_of_a_study_of_rows_are_named_by_their_labels(tmp_path: Path) -> None:
    names = {SOFTMAX: "BLSTM", CNN: "BLSTM | emb*"}
    for name in names:
        write_run(tmp_path / name / "seed=1", metrics(1))
    write_plan(tmp_path, [job(name, 1, label) for name, label in names.items()])
    table = tables_in(report(tmp_path))[0]
    assert [row["configuration"] for row in table] == ["BLSTM", r"BLSTM \| emb\*"]


def test_the_head_asks_and_says_how_far_the_study_is(tmp_path: Path) -> None:
    text = report(grid(tmp_path, FOUR))
    assert text.startswith("# letters\n\nDo letters help?\n\n12 of 12 jobs finished.")
    (tmp_path / CRF / "seed=2" / "metrics.json").unlink()
    shutil.rmtree(tmp_path / CRF / "seed=3")
    failed = '{"status": "failed", "failure": "training diverged", "seed": 1}'
    (tmp_path / CNN / "seed=1" / "metrics.json").write_text(failed)
    text = report(tmp_path)
    assert "Not complete: 9 of 12 jobs finished, 1 failed, 2 left." in text
    assert [row["failed"] for row in tables_in(text)[0]] == ["0", "0", "1", "0"]


def test_runs_without_scores_are_listed_with_their_reasons(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    assert "Runs without scores" not in report(tmp_path)
    failed = '{"status": "failed", "failure": "training diverged: `nan` | inf", "seed": 1}'
    (tmp_path / CNN / "seed=1" / "metrics.json").write_text(failed)
    (tmp_path / CRF / "seed=2" / "metrics.json").write_text("{")
    (table,) = [table for table in tables_in(report(tmp_path)) if "reason" in table[0]]
    assert [(row["run"], row["state"]) for row in table] == [
        (rf"{CRF}/seed=2".replace("_", r"\_"), "broken"),
        (rf"{CNN}/seed=1".replace("_", r"\_"), "failed"),
    ]
    assert table[1]["reason"] == r"training diverged: \`nan\` \| inf"


def test_comparisons_state_both_tests_and_what_seeds_can_show(tmp_path: Path) -> None:
    text = report(grid(tmp_path, FOUR))
    (table,) = [table for table in tables_in(text) if "p over seeds" in table[0]]
    assert [row["difference"] for row in table] == ["+4.00", "+9.00", "+12.00"]
    assert [row["p over seeds"] for row in table] == ["0.250"] * 3
    assert [row["least p possible"] for row in table] == ["0.250"] * 3
    assert "0.250 with 3 seeds" in text


def predicted(folder: Path, name: str, seeds: int, wrong: range) -> None:
    for seed in range(1, seeds + 1):
        content = metrics(seed) | {"test": scores(60.0 if wrong else 70.0 + seed, wrong=wrong)}
        write_run(folder / name / f"seed={seed}", content, wrong=wrong)


@pytest.mark.parametrize(("seeds", "said"), [(5, "that takes 6 shared seeds or more"), (6, "")])
def test_that_seeds_are_too_few_to_show_anything_is_said(seeds: int, said: str, tmp_path: Path) -> None:
    write_plan(tmp_path, [job(name, seed) for name in (SOFTMAX, CRF) for seed in range(1, seeds + 1)])
    predicted(tmp_path, SOFTMAX, seeds, range(5))
    predicted(tmp_path, CRF, seeds, range(0))
    text = report(tmp_path)
    assert "1 comparison with the baseline `no char encoder + softmax` p over sentences" in text
    assert said in text
    assert ("shared seeds or more" in text) == bool(said)


def test_published_figures_stand_beside_what_was_reached(tmp_path: Path) -> None:
    tables = tables_in(report(grid(tmp_path, FOUR, published=PUBLISHED)))
    assert [row["published test F1"] for row in tables[0]] == ["–", "–", "–", "75.50"]
    assert tables[0][3]["reached − published"] == "−1.50"
    (table,) = [table for table in tables if "source" in table[0]]
    assert [(row["split"], row["published F1"], row["runs there"], row["reached − published"]) for row in table] == [
        ("dev", "85.00", "5", "−1.00"),
        ("test", "75.50 ± 0.20", "5", "−1.50"),
    ]
    assert table[0]["source"] == "Somebody 2016, table 3"


def test_scores_of_types_and_levels_of_factors_have_their_tables(tmp_path: Path) -> None:
    tables = tables_in(report(grid(tmp_path, FOUR)))
    types = [table for table in tables if "PER" in table[0]]
    assert [row["PER"] for row in types[0]] == ["66.67 ± 0.00"] * 4
    levels, pairs = [table for table in tables if "adds" in table[0]]
    assert [(row["level"], row["test F1"], row["adds"]) for row in levels] == [
        ("none", "64.00", "−4.25"),
        ("cnn", "72.50", "+4.25"),
        ("softmax", "66.50", "−1.75"),
        ("crf", "70.00", "+1.75"),
    ]
    assert [(row["level"], row["and level"], row["adds"]) for row in pairs] == [
        ("none", "softmax", "−0.25"),
        ("none", "crf", "+0.25"),
        ("cnn", "softmax", "+0.25"),
        ("cnn", "crf", "−0.25"),
    ]
    (shares,) = [table for table in tables if "share of variation (%)" in table[0]]
    assert [row["factor"] for row in shares] == ["char encoder", "decoder", "char encoder × decoder"]
    assert sum(float(row["share of variation (%)"]) for row in shares) < 100


def test_code_versions_machine_and_command_are_stated(tmp_path: Path) -> None:
    text = report(grid(tmp_path, FOUR))
    for fact in ("3f2a91c0", "877fc50aaaab", "torch 2.13.0", "AMD EPYC, 1 thread", "`ner-lab sweep letters`"):
        assert fact in text


def test_dev_that_was_trained_on_is_marked_in_the_table(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "seed=1", metrics(1, dev=99.0, train_on=["train", "dev"]))
    assert tables_in(report(tmp_path))[0][0]["dev F1"] == "99.00 (trained on)"


# LaTeX


def test_latex_escapes_what_it_would_read() -> None:
    assert escape_latex(r"50% of a_b & c# ${x}~^\ ") == (
        r"50\% of a\_b \& c\# \$\{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escape_latex("[x] <y>\n±−–†") == r"{[}x{]} $<$y$>$ $\pm$$-$--$^{\dagger}$"


def test_the_latex_table_is_a_whole_tabular_of_equal_rows(tmp_path: Path) -> None:
    text = latex(found(grid(tmp_path, FOUR, published=PUBLISHED)))
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    kinds = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])
    assert kinds is not None
    assert (lines[1], lines[-2], lines[-1]) == (r"\toprule", r"\bottomrule", r"\end{tabular}")
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 1 + len(FOUR)
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(kinds[1])}
    assert r"74.00 $\pm$ 1.00" in rows[4]
    assert "+12.00" in rows[4]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
def test_the_latex_table_is_typeset_by_input(tmp_path: Path) -> None:
    hostile = {name: f"[a_b] & 50% #{number} ^~\\ $x$ {{" for number, name in enumerate(FOUR)}
    grid(tmp_path, FOUR)
    write_plan(tmp_path, [job(name, seed, label) for name, label in hostile.items() for seed in (1, 2, 3)])
    (tmp_path / "table.tex").write_text(latex(found(tmp_path)))
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table}\end{document}"
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]


# CSV


def test_the_table_of_configurations_has_every_figure(tmp_path: Path) -> None:
    lines = rows_of(csv_table(found(grid(tmp_path, FOUR, published=PUBLISHED))))
    assert [line["configuration"] for line in lines] == list(FOUR)
    last = lines[3]
    assert (last["char_encoder"], last["decoder"], last["runs"]) == ("cnn", "crf", "3")
    assert (last["test_f1_mean"], last["test_f1_std"], last["test_f1_min"]) == ("74", "1", "73")
    assert (last["difference"], last["p_over_seeds"], last["p_over_seeds_holm"]) == ("12", "0.25", "0.75")
    assert (last["published_test_f1"], last["test_reached_less_published"]) == ("75.5", "-1.5")
    assert (last["best_on_dev"], lines[0]["best_on_dev"]) == ("1", "0")
    assert lines[0]["difference"] == ""
    assert last["parameters"] == "1000"


def test_the_table_of_runs_has_every_run_in_whatever_state(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    (tmp_path / CRF / "seed=2" / "metrics.json").write_text("{")
    shutil.rmtree(tmp_path / CRF / "seed=3")
    write_run(tmp_path / CNN / "seed=1" / "2026-01-01_00-00-00", metrics(1, test=33.0))
    lines = rows_of(csv_runs(found(tmp_path)))
    assert len(lines) == 13
    states = {(line["folder"], line["state"]) for line in lines}
    assert {(f"{CRF}/seed=2", "broken"), (f"{CRF}/seed=3", "missing"), (f"{CNN}/seed=1", "superseded")} <= states
    (line,) = [line for line in lines if line["folder"] == f"{BOTH}/seed=3"]
    assert (line["test_f1"], line["dev_f1"], line["seed"], line["epochs"]) == ("75", "85", "3", "5")


def test_the_table_of_types_has_both_splits(tmp_path: Path) -> None:
    lines = rows_of(csv_types(found(grid(tmp_path, FOUR))))
    assert len(lines) == 4 * 2 * 2
    line = next(line for line in lines if (line["split"], line["type"]) == ("test", "PER"))
    assert (line["f1_mean"], line["precision_mean"], line["runs"]) == ("66.6667", "66.6667", "3")


def test_tables_of_a_study_without_a_finished_run_can_be_written(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1)])
    write_run(tmp_path / CNN / "seed=1", None)
    findings = found(tmp_path)
    assert "0 of 1 jobs finished, 1 left" in markdown(report_document(findings), tmp_path)
    assert rows_of(csv_table(findings))[0]["runs"] == "0"
    assert csv_types(findings) == "\n"
    assert "\\bottomrule" in latex(findings)
