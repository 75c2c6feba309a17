"""What is computed of a study: figures over seeds, what is chosen, what is held against what."""

import json
import statistics
from pathlib import Path

import pytest
from made_study import CONFIG, FOUR, grid, job, metrics, predictions, scores, write_plan, write_run

from ner_lab.errors import UserError
from ner_lab.reporting.aggregates import Row, Summary
from ner_lab.reporting.analysis import Findings, find
from ner_lab.reporting.study_runs import collect

SOFTMAX, CRF, CNN, BOTH = FOUR
ROUNDS = 200


def found(folder: Path, **settings: str) -> Findings:
    return find(collect(folder), rounds=ROUNDS, **settings)


def row_of(findings: Findings, name: str) -> Row:
    return next(row for row in findings.rows if row.name == name)


# one configuration


def test_a_summary_has_the_usual_figures() -> None:
    summary = Summary((60.0, 66.0, 63.0, 70.0))
    assert (summary.n, summary.mean, summary.median, summary.min, summary.max) == (4, 64.75, 64.5, 60.0, 70.0)
    assert summary.std == pytest.approx(statistics.stdev((60.0, 66.0, 63.0, 70.0)))
    assert summary.low is not None
    assert summary.high is not None
    assert 60 <= summary.low < 64.75 < summary.high <= 70


def test_one_run_has_neither_deviation_nor_interval() -> None:
    summary = Summary((60.0,))
    assert (summary.mean, summary.std, summary.low, summary.high) == (60.0, None, None, None)


def test_figures_are_those_of_the_finished_runs_alone(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, seed) for seed in range(1, 6)])
    write_run(tmp_path / CNN / "seed=1", metrics(1, dev=80, test=70))
    write_run(tmp_path / CNN / "seed=2", metrics(2, dev=82, test=74, best_epoch=7, train_seconds=60))
    failed = metrics(3, dev=1, test=1, status="failed", failure="dev F1 1.00 is below min_dev_score=50")
    write_run(tmp_path / CNN / "seed=3", failed)
    write_run(tmp_path / CNN / "seed=4", "{")
    (row,) = found(tmp_path).rows
    assert row.f1["test"].values == (70, 74)
    assert row.f1["dev"].mean == 81
    assert row.best_epoch is not None
    assert row.best_epoch.values == (3, 7)
    assert row.train_seconds is not None
    assert row.train_seconds.mean == 50
    assert row.parameters == {"word embedding": 900, "decoder": 100}
    assert [run.seed for run in row.configuration.failed] == [3]


def test_types_that_nobody_has_or_predicts_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "cnn" / "seed=1", metrics(1))
    (row,) = found(tmp_path).rows
    assert list(row.per_type["test"]) == ["LOC", "PER"]
    assert row.per_type["test"]["PER"].mean == pytest.approx(200 / 3)
    assert row.oov == {"dev": {}, "test": {}}


def test_a_configuration_without_finished_runs_has_no_figures(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1), job(CRF, 1)])
    write_run(tmp_path / CNN / "seed=1", metrics(1))
    row = row_of(found(tmp_path), CRF)
    assert (row.f1, row.parameters, row.train_seconds, row.best_on_dev) == ({}, {}, None, False)


# choosing


def test_the_configuration_chosen_is_the_best_on_dev_whatever_test_says(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1), job(CRF, 1), job(BOTH, 1)])
    for name, dev, test in ((CNN, 80.0, 90.0), (CRF, 85.0, 60.0), (BOTH, 84.0, 95.0)):
        write_run(tmp_path / name / "seed=1", metrics(1, dev=dev, test=test))
    findings = found(tmp_path)
    assert findings.chosen is not None
    assert findings.chosen.name == CRF
    assert [row.name for row in findings.rows if row.best_on_dev] == [CRF]


def test_what_was_trained_on_dev_is_not_chosen_by_dev(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1), job(CRF, 1), job(BOTH, 1)])
    for name, dev in ((CNN, 80.0), (CRF, 81.0)):
        write_run(tmp_path / name / "seed=1", metrics(1, dev=dev))
    write_run(tmp_path / BOTH / "seed=1", metrics(1, dev=99.0, train_on=["train", "dev"]))
    findings = found(tmp_path)
    assert findings.chosen is not None
    assert findings.chosen.name == CRF
    assert any("trained on" in note and "cnn + crf" in note for note in findings.notes)


def test_without_test_scores_the_report_is_about_dev_and_says_so(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        write_run(tmp_path / name / "seed=1", metrics(1, dev=80.0 + number, test=None))
    findings = found(tmp_path)
    assert findings.split == "dev"
    assert any("about dev" in note for note in findings.notes)
    assert findings.comparisons[0].difference == 1
    with pytest.raises(UserError, match="split=test: no run has scores of it"):
        found(tmp_path, split="test")


def test_the_split_can_be_chosen(tmp_path: Path) -> None:
    folder = grid(tmp_path, FOUR)
    assert found(folder).split == "test"
    assert found(folder, split="dev").split == "dev"
    with pytest.raises(UserError, match="Did you mean 'test'"):
        found(folder, split="tset")


# the baseline


def test_the_baseline_is_the_studys_else_the_first_with_scores(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    first = found(tmp_path).baseline
    assert first is not None
    assert first.name == SOFTMAX
    plan = tmp_path / "study.yaml"
    plan.write_text(plan.read_text().replace("baseline: null", f"baseline: {CNN}"))
    findings = found(tmp_path)
    assert findings.baseline is not None
    assert findings.baseline.name == CNN
    assert [comparison.row.name for comparison in findings.comparisons] == [SOFTMAX, CRF, BOTH]


@pytest.mark.parametrize("asked", [CRF, "decoder=crf, char_encoder=none", "no char encoder + crf"])
def test_another_baseline_can_be_asked_for_by_any_of_its_names(asked: str, tmp_path: Path) -> None:
    baseline = found(grid(tmp_path, FOUR), baseline=asked).baseline
    assert baseline is not None
    assert baseline.name == CRF


def test_a_baseline_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"baseline=cnn \+ srf.*Did you mean 'cnn \+ crf'"):
        found(grid(tmp_path, FOUR), baseline="cnn + srf")


def test_a_baseline_without_runs_is_stood_in_for_and_that_is_said(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(name, 1) for name in FOUR], baseline=SOFTMAX)
    for name in (CRF, CNN):
        write_run(tmp_path / name / "seed=1", metrics(1))
    findings = found(tmp_path)
    assert findings.baseline is not None
    assert findings.baseline.name == CRF
    assert any("no finished run yet" in note for note in findings.notes)
    with pytest.raises(UserError, match="no finished run with scores of test"):
        found(tmp_path, baseline=SOFTMAX)


def test_one_configuration_alone_is_held_against_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "cnn" / "seed=1", metrics(1))
    findings = found(tmp_path)
    assert findings.baseline is None
    assert findings.comparisons == []
    assert findings.chosen is None


# differences


def test_a_difference_is_that_of_the_means_with_an_interval_around_it(tmp_path: Path) -> None:
    comparison = next(c for c in found(grid(tmp_path, FOUR)).comparisons if c.row.name == BOTH)
    assert comparison.difference == pytest.approx(12.0)
    assert comparison.low is not None
    assert comparison.high is not None
    assert 9 <= comparison.low < 12 < comparison.high <= 15
    assert comparison.seeds == (1, 2, 3)


def test_the_test_over_seeds_pairs_those_that_both_have(tmp_path: Path) -> None:
    folder = grid(tmp_path, FOUR)
    (folder / BOTH / "seed=2" / "metrics.json").unlink()
    write_run(folder / BOTH / "seed=9", metrics(9))
    comparison = next(c for c in found(folder).comparisons if c.row.name == BOTH)
    assert comparison.seeds == (1, 3)
    assert comparison.over_seeds is not None
    assert comparison.over_seeds.n == 2
    assert comparison.over_seeds.smallest == 0.5
    assert comparison.over_seeds.p == 0.5


def test_without_two_shared_seeds_there_is_no_test_over_seeds(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1), job(CNN, 2), job(CRF, 2), job(CRF, 3)])
    for name, seed in ((CNN, 1), (CNN, 2), (CRF, 2), (CRF, 3)):
        write_run(tmp_path / name / f"seed={seed}", metrics(seed))
    (comparison,) = found(tmp_path).comparisons
    assert comparison.over_seeds is None
    assert any("two or more" in reason for reason in comparison.reasons)


def test_holms_correction_is_over_all_comparisons(tmp_path: Path) -> None:
    comparisons = found(grid(tmp_path, FOUR)).comparisons
    assert [c.over_seeds.p for c in comparisons if c.over_seeds] == [0.25, 0.25, 0.25]
    assert [c.over_seeds.adjusted for c in comparisons if c.over_seeds] == [0.75, 0.75, 0.75]


def predicted(folder: Path, name: str, seed: int, wrong: range, repeats: int = 20) -> Path:
    place = write_run(folder / name / f"seed={seed}", metrics(seed) | {"test": scores(wrong=wrong, repeats=repeats)})
    (place / "predictions").mkdir()
    (place / "predictions" / "test.conll").write_text(predictions(wrong, repeats))
    return place


def test_the_test_over_sentences_tells_clear_differences_from_none(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(name, seed) for name in (SOFTMAX, CRF, CNN) for seed in (1, 2)])
    for seed in (1, 2):
        predicted(tmp_path, SOFTMAX, seed, range(60))
        predicted(tmp_path, CRF, seed, range(60))
        predicted(tmp_path, CNN, seed, range(5))
    same, better = found(tmp_path).comparisons
    assert same.over_sentences is not None
    assert better.over_sentences is not None
    assert same.over_sentences.p == 1
    assert better.over_sentences.p == pytest.approx(1 / (ROUNDS + 1))
    assert better.over_sentences.adjusted == pytest.approx(2 / (ROUNDS + 1))
    assert better.reasons == ()


def test_without_the_predictions_of_all_there_is_no_test_over_sentences(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(name, seed) for name in (SOFTMAX, CRF) for seed in (1, 2)])
    for seed in (1, 2):
        predicted(tmp_path, SOFTMAX, seed, range(5))
    predicted(tmp_path, CRF, 1, range(2))
    write_run(tmp_path / CRF / "seed=2", metrics(2))
    (comparison,) = found(tmp_path).comparisons
    assert comparison.over_sentences is None
    assert any("predictions" in reason for reason in comparison.reasons)


def test_predictions_that_are_not_those_scored_are_not_tested_on(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(SOFTMAX, 1), job(CRF, 1)])
    predicted(tmp_path, SOFTMAX, 1, range(5))
    place = predicted(tmp_path, CRF, 1, range(5))
    (place / "predictions" / "test.conll").write_text(predictions((1,), 20))
    findings = found(tmp_path)
    assert findings.comparisons[0].over_sentences is None
    assert any("not what metrics.json scored" in note for note in findings.notes)


def test_what_runs_found_doubtful_about_their_data_is_said_once(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(SOFTMAX, seed) for seed in (1, 2)])
    for seed in (1, 2):
        doubts = ["train: gold tags break IOB2 in 2 of 9 sentences", *(f"doubt {number}" for number in range(9))]
        write_run(tmp_path / SOFTMAX / f"seed={seed}", metrics(seed, warnings=doubts))
    notes = found(tmp_path).notes
    assert notes.count("train: gold tags break IOB2 in 2 of 9 sentences") == 1
    assert notes[-1] == "And 2 more remarks on the data, in metrics.json."


def test_different_sentences_are_not_paired(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(SOFTMAX, 1), job(CRF, 1)])
    predicted(tmp_path, SOFTMAX, 1, range(5), repeats=20)
    predicted(tmp_path, CRF, 1, range(5), repeats=19)
    (comparison,) = found(tmp_path).comparisons
    assert comparison.over_sentences is None
    assert any("different sentences" in reason for reason in comparison.reasons)


# factors


def test_effects_of_a_grid_are_means_over_cells(tmp_path: Path) -> None:
    unequal = FOUR | {BOTH: (73.0, 74.0, 75.0, 74.0, 74.0)}  # a cell counts once, however many seeds it has
    letters, decoder = found(grid(tmp_path, unequal)).effects
    assert (letters.label, dict(letters.levels)) == ("char encoder", {"none": 64.0, "cnn": 72.5})
    assert (decoder.label, dict(decoder.levels)) == ("decoder", {"softmax": 66.5, "crf": 70.0})
    assert (letters.spread, decoder.spread) == (8.5, 3.5)


def test_a_grid_with_an_empty_cell_has_no_effects_and_says_so(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    for seed in (1, 2, 3):
        (tmp_path / BOTH / f"seed={seed}" / "metrics.json").unlink()
    findings = found(tmp_path)
    assert findings.effects == []
    assert any("`cnn + crf`" in note for note in findings.notes)


def test_rows_that_are_no_grid_have_no_effects(tmp_path: Path) -> None:
    three = {name: FOUR[name] for name in (SOFTMAX, CRF, CNN)}
    assert found(grid(tmp_path, three)).effects == []


def test_one_factor_alone_needs_no_table_of_effects(tmp_path: Path) -> None:
    assert found(grid(tmp_path, {name: FOUR[name] for name in (SOFTMAX, CRF)})).effects == []


# notes


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    write_run(tmp_path / "char_encoder=bilstm,decoder=crf" / "seed=1", metrics(1))
    (tmp_path / CRF / "seed=2" / "metrics.json").write_text("{")
    write_run(tmp_path / CNN / "seed=1" / "2026-01-01_00-00-00", metrics(1))
    notes = "\n".join(found(tmp_path).notes)
    assert f"`{CRF}/seed=2`" in notes
    assert "`char_encoder=bilstm,decoder=crf/seed=1`" in notes
    assert f"Not counted: `{CNN}/seed=1`" in notes


def test_a_clean_study_has_no_notes(tmp_path: Path) -> None:
    assert list(found(grid(tmp_path, FOUR)).notes) == []


def test_changed_settings_reach_the_notes(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    (tmp_path / CNN / "seed=2" / "config.yaml").write_text(json.dumps(CONFIG | {"threads": 8, "seed": 2}))
    assert any("threads" in note for note in found(tmp_path).notes)
