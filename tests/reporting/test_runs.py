"""Runs are read back as they lie on disk: every job in its place and state, whatever its files hold."""

import fcntl
import json
import os
from pathlib import Path

import pytest
import yaml
from made_study import CONFIG, FOUR, GOLD, RECORD, grid, job, metrics, predictions, write_plan, write_run

from ner_lab.errors import UserError
from ner_lab.evaluation.error_analysis import read_predictions
from ner_lab.reporting.consistency import differences
from ner_lab.reporting.study_runs import Configuration, Run, StudyRuns, collect

NONE, CNN = "char_encoder=none,decoder=crf", "char_encoder=cnn,decoder=crf"


def seeds_by_state(configuration: Configuration) -> dict[str, list[int | None]]:
    found: dict[str, list[int | None]] = {}
    for run in configuration.runs:
        found.setdefault(run.state, []).append(run.seed)
    return found


def only(study: StudyRuns) -> Run:
    (run,) = study.runs
    return run


# studies


def test_a_study_has_its_configurations_in_its_own_order_with_runs_by_seed(tmp_path: Path) -> None:
    study = collect(grid(tmp_path, FOUR))
    assert [configuration.name for configuration in study.configurations] == list(FOUR)
    assert all([run.seed for run in configuration.runs] == [1, 2, 3] for configuration in study.configurations)
    assert (study.name, study.question, study.planned) == ("letters", "Do letters help?", 12)
    assert dict(study.factors) == {"char_encoder": "char encoder", "decoder": "decoder"}
    assert study.configurations[3].choices == {"char_encoder": "cnn", "decoder": "crf"}


def test_every_job_of_a_study_is_in_one_state_with_its_reason(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, seed) for seed in range(1, 9)])
    write_run(tmp_path / CNN / "seed=1", metrics(1))
    write_run(tmp_path / CNN / "seed=2", {"status": "failed", "failure": "training diverged", "seed": 2, "history": []})
    write_run(tmp_path / CNN / "seed=3", None)
    write_run(tmp_path / CNN / "seed=4", '{"status": "ok", ')
    write_run(tmp_path / CNN / "seed=5", None)
    (tmp_path / CNN / "seed=6").mkdir()
    (tmp_path / CNN / "seed=6" / "failure.json").write_text('{"reason": "out of memory"}')
    (tmp_path / CNN / "seed=7").mkdir()
    (tmp_path / CNN / "seed=7" / "console.log").write_text("")
    with (tmp_path / CNN / "seed=5" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (configuration,) = collect(tmp_path).configurations
    assert seeds_by_state(configuration) == {
        "finished": [1],
        "failed": [2, 6],
        "unfinished": [3],
        "broken": [4],
        "running": [5],
        "missing": [7, 8],
    }
    reasons = {run.seed: run.reason for run in configuration.runs}
    assert reasons[1] == ""
    assert reasons[2] == "training diverged"
    assert reasons[4].startswith("metrics.json cannot be read as JSON")
    assert reasons[6] == "out of memory"
    assert [run.seed for run in configuration.finished] == [1]
    assert [run.seed for run in configuration.failed] == [2, 6]


def test_a_lock_that_nobody_holds_is_no_running_job(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1), job(CNN, 2)])
    write_run(tmp_path / CNN / "seed=1", metrics(1))
    folder = write_run(tmp_path / CNN / "seed=2", None)
    (folder / ".lock").write_text("")
    assert collect(tmp_path).runs[1].state == "unfinished"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cannot be read as JSON"),
        ("[1, 2]", "`status` must be ok or failed"),
        ('{"accuracy": 0.9}', "`status` must be ok or failed"),
        ('{"status": "ok"}', "no dev or test scores"),
        ('{"status": "ok", "test": {"f1": "high"}}', "no number for test.f1"),
        ('{"status": "ok", "test": {"f1": NaN}}', "no number for test.f1"),
        ('{"status": "ok", "test": 91}', "no number for test.f1"),
        ('{"status": "ok", "test": {"f1": 91, "per_type": [1]}}', "no scores in test.per_type"),
        ('{"status": "ok", "test": {"f1": 91}, "history": "long"}', "`history` must be a list"),
        ('{"status": "ok", "test": {"f1": 91}, "parameters": {"decoder": "many"}}', "`parameters` must be numbers"),
    ],
)
def test_a_metrics_file_that_is_none_is_named_and_the_rest_goes_on(content: str, reason: str, tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1), job(CNN, 2)])
    write_run(tmp_path / CNN / "seed=1", content)
    write_run(tmp_path / CNN / "seed=2", metrics(2))
    broken, finished = collect(tmp_path).runs
    assert (broken.state, finished.state) == ("broken", "finished")
    assert broken.reason.startswith("metrics.json")
    assert reason in broken.reason
    assert broken.metrics == {}


def test_a_result_of_another_seed_than_its_folder_says_does_not_count(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1), job(CNN, 2)])
    write_run(tmp_path / CNN / "seed=1", metrics(1))
    write_run(tmp_path / CNN / "seed=2", metrics(1))
    run = collect(tmp_path).runs[1]
    assert (run.seed, run.state) == (2, "broken")
    assert "seed 1" in run.reason


def test_rows_are_called_by_their_labels_and_grids_by_their_choices(tmp_path: Path) -> None:
    jobs = [job(NONE, 1, "BLSTM"), job(CNN, 1, "BLSTM-CNN + emb")]
    for name in (NONE, CNN):
        write_run(tmp_path / name / "seed=1", metrics(1))
    write_plan(tmp_path, jobs)
    assert [configuration.label for configuration in collect(tmp_path).configurations] == ["BLSTM", "BLSTM-CNN + emb"]
    write_plan(tmp_path, [job(NONE, 1), job(CNN, 1)])
    assert [configuration.label for configuration in collect(tmp_path).configurations] == [
        "no char encoder + crf",
        "cnn + crf",
    ]


def test_values_that_say_nothing_alone_are_called_with_their_factor(tmp_path: Path) -> None:
    names = ["dropout=0.5,features=null", "dropout=0.0,features=true", "dropout=0,features=caps"]
    names.append("dropout=5e-05,features=caps")
    write_plan(tmp_path, [job(name, 1) for name in names], factors={"features": "features", "dropout": "dropout"})
    for name in names:
        write_run(tmp_path / name / "seed=1", metrics(1))
    assert [configuration.label for configuration in collect(tmp_path).configurations] == [
        "no features + dropout 0.5",
        "features true + dropout 0.0",
        "caps + dropout 0",
        "caps + dropout 5e-05",
    ]


def test_earlier_tries_and_hidden_folders_are_never_entered(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1)])
    folder = write_run(tmp_path / CNN / "seed=1", metrics(1))
    for place in (folder / "attempts" / "1", tmp_path / ".trash" / CNN / "seed=2", folder / "wandb" / "run-1"):
        write_run(place, metrics(2))
    study = collect(tmp_path)
    assert only(study).folder == folder
    assert study.stray == []
    (tmp_path / "study.yaml").unlink()
    assert only(collect(tmp_path)).folder == folder


def test_further_seeds_count_and_further_configurations_are_strays(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1)])
    for name, seed in ((CNN, 1), (CNN, 7), (NONE, 1)):
        write_run(tmp_path / name / f"seed={seed}", metrics(seed))
    study = collect(tmp_path)
    assert [(run.configuration, run.seed) for run in study.runs] == [(CNN, 1), (CNN, 7)]
    assert study.stray == [tmp_path / NONE / "seed=1"]
    assert study.planned == 1


def test_published_figures_are_read_with_what_their_source_states(tmp_path: Path) -> None:
    figures = {CNN: [{"test": 91.21, "source": "Ma & Hovy 2016"}, {"dev": 94.7, "n": 10, "source": "Another"}]}
    grid(tmp_path, FOUR, published=figures)
    first, second = collect(tmp_path).published[CNN]
    assert (first.test, first.dev, first.source) == (91.21, None, "Ma & Hovy 2016")
    assert (second.dev, second.n, second.test_std) == (94.7, 10, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("jobs: [", "study.yaml cannot be read as YAML"),
        ("name: x", "no list `jobs`"),
        ("jobs: [{folder: a}]", "no list `jobs`"),
        ("jobs: []\npublished: {x: [{tset: 3}]}", "published figures take source, dev, test"),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(content)
    with pytest.raises(UserError, match=r"study\.yaml") as error:
        collect(tmp_path)
    assert message in str(error.value)


def test_a_folder_without_runs_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ner-lab sweep"):
        collect(tmp_path)
    write_plan(tmp_path, [job(CNN, 1)])
    with pytest.raises(UserError, match="none of its jobs has started"):
        collect(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        collect(tmp_path / "nowhere")


# trees without a study


def test_in_a_tree_a_configuration_is_the_path_without_seeds_and_times(tmp_path: Path) -> None:
    for seed in (2, 10, 9):
        write_run(tmp_path / "builtin" / "cnn-crf" / f"seed={seed}" / "2026-01-02_03-04-05", metrics(seed))
    study = collect(tmp_path)
    (configuration,) = study.configurations
    assert (configuration.name, configuration.label) == ("builtin/cnn-crf", "builtin/cnn-crf")
    assert [run.seed for run in configuration.runs] == [2, 9, 10]
    assert (study.planned, study.question, study.name) == (None, "", tmp_path.name)


def test_in_a_tree_choices_are_read_off_the_folders(tmp_path: Path) -> None:
    write_run(tmp_path / "a=[1,2],b=x" / "seed=1", metrics(1))
    write_run(tmp_path / "a=[3],b=y" / "seed=1", metrics(1))
    study = collect(tmp_path)
    assert [dict(configuration.choices) for configuration in study.configurations] == [
        {"a": "[1,2]", "b": "x"},
        {"a": "[3]", "b": "y"},
    ]
    assert list(study.factors) == ["a", "b"]


def test_the_folder_of_one_run_is_a_tree_too(tmp_path: Path) -> None:
    run = only(collect(write_run(tmp_path / "mine", metrics(4))))
    assert (run.configuration, run.seed) == ("mine", 4)


def test_a_seed_that_no_folder_tells_is_that_of_the_config(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "cnn", None)
    (folder / "config.yaml").write_text("seed: 17\n")
    assert only(collect(tmp_path)).seed == 17


def test_of_several_runs_with_one_seed_the_newest_that_ended_counts(tmp_path: Path) -> None:
    times = {"2026-01-01_00-00-00": metrics(1, test=50.0), "2026-01-03_00-00-00": metrics(1, test=70.0)}
    times |= {"2026-01-02_00-00-00": metrics(1, test=60.0), "2026-01-04_00-00-00": None, "2026-01-05_00-00-00": "{"}
    for time, content in times.items():
        write_run(tmp_path / "cnn" / "seed=1" / time, content)
    study = collect(tmp_path)
    assert only(study).metrics["test"]["f1"] == 70.0
    assert len(study.superseded) == 4
    assert only(study) not in study.superseded


def test_without_times_in_names_the_newest_is_told_by_its_files(tmp_path: Path) -> None:
    for number, name in enumerate(("seed=1", "again/seed=1")):
        folder = write_run(tmp_path / "study" / "cnn" / name, metrics(1, test=50.0 + number))
        for file in folder.glob("*.json"):
            os.utime(file, (1000 - number, 1000 - number))
    write_plan(tmp_path / "study", [job(CNN, 1)])
    (tmp_path / "study" / CNN).mkdir()
    for number in range(2):
        name = ("seed=1", "seed=1/2026-01-04_00-00-00")[number]
        folder = write_run(tmp_path / "study" / CNN / name, metrics(1, test=50.0 + number))
    (run,) = collect(tmp_path / "study").runs
    assert run.metrics["test"]["f1"] == 51.0


# predictions


def test_predictions_are_those_of_the_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "cnn" / "seed=1", metrics(1), wrong=(1, 3))
    run = only(collect(tmp_path))
    assert run.predictions("test") == read_predictions(folder / "predictions" / "test.conll")
    counts = run.sentence_counts("test")
    assert counts is not None
    assert counts.tolist() == [[2, 2, 2], [0, 0, 2], [0, 0, 0], [0, 0, 2], [1, 1, 1]]
    assert counts[:, 2].sum() == GOLD
    assert run.predictions("dev") is None
    assert run.sentence_counts("dev") is None
    assert run.faults == {}


@pytest.mark.parametrize("change", [("\n", "\r\n"), ("\n\n", "\n \n"), ("\n\n", "\n\n\n")])
def test_blank_lines_and_line_ends_change_no_prediction(change: tuple[str, str], tmp_path: Path) -> None:
    folder = write_run(tmp_path / "cnn" / "seed=1", metrics(1), wrong=(1,))
    expected = read_predictions(folder / "predictions" / "test.conll")
    (folder / "predictions" / "test.conll").write_bytes(predictions((1,)).replace(*change).encode())
    assert only(collect(tmp_path)).predictions("test") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [("Anna B-PER\n", "test.conll:1: "), ("Anna X-PER O\n", "test.conll:1: "), ("\n", "no sentence in it")],
)
def test_predictions_that_cannot_be_read_are_told_and_left_out(content: str, message: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "cnn" / "seed=1", metrics(1), wrong=())
    (folder / "predictions" / "test.conll").write_text(content)
    run = only(collect(tmp_path))
    assert run.predictions("test") is None
    assert message in run.faults["test"]


# what runs of a study should have in common


def test_runs_made_alike_differ_in_nothing(tmp_path: Path) -> None:
    assert differences(collect(grid(tmp_path, FOUR))) == []


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"code": "77c1" * 16}, "2 states of the code: 3f2a91c0 (11 runs), 77c177c1 (1 run)"),
        ({"versions": {"ner-lab": "0.1.0", "torch": "2.8.0"}}, "several versions of torch: 2.13.0 (11 runs), 2.8.0"),
        ({"machine": {"processor": "Other", "threads": 4}}, "2 kinds of machine, so times do not compare"),
    ],
)
def test_runs_of_other_code_versions_or_machines_are_told(record: dict[str, object], said: str, tmp_path: Path) -> None:
    folder = grid(tmp_path, FOUR) / CNN / "seed=2" / "run.json"
    folder.write_text(json.dumps(RECORD | record))
    (sentence,) = differences(collect(tmp_path))
    assert said in sentence


def test_a_setting_that_differs_and_was_not_swept_is_told(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    config = CONFIG | {"seed": 2, "logger": "none", "run_name": "x", "data": {"name": "builtin", "batch_size": 20}}
    (tmp_path / CNN / "seed=2" / "config.yaml").write_text(json.dumps(config))
    (sentence,) = differences(collect(tmp_path))
    assert "data.batch_size (10 (11 runs), 20 (1 run))" in sentence
    assert "logger" not in sentence


def test_what_a_study_sweeps_may_differ(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    for seed in (1, 2, 3):
        config = CONFIG | {"seed": seed, "char_encoder": {"filters": 99}}
        (tmp_path / CNN / f"seed={seed}" / "config.yaml").write_text(json.dumps(config))
    assert differences(collect(tmp_path)) == []


def test_where_papers_are_swept_only_runs_of_one_configuration_must_agree(tmp_path: Path) -> None:
    names = ["paper=lample2016", "paper=ma_hovy2016"]
    write_plan(tmp_path, [job(name, seed) for name in names for seed in (1, 2)], factors={"paper": "paper"})
    for number, name in enumerate(names):
        for seed in (1, 2):
            write_run(tmp_path / name / f"seed={seed}", metrics(seed), config=CONFIG | {"threads": number})
    assert differences(collect(tmp_path)) == []
    (tmp_path / names[0] / "seed=2" / "config.yaml").write_text(json.dumps(CONFIG | {"threads": 5, "seed": 2}))
    (sentence,) = differences(collect(tmp_path))
    assert "threads (0 (1 run), 5 (1 run))" in sentence


def test_runs_on_other_sentences_are_told(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    content = metrics(2)
    content["test"]["sentences"] = 3453
    (tmp_path / CNN / "seed=2" / "metrics.json").write_text(json.dumps(content))
    (sentence,) = differences(collect(tmp_path))
    assert "test" in sentence
    assert "3453 (1 run)" in sentence


def test_published_figures_are_left_out_for_runs_on_other_data(tmp_path: Path) -> None:
    """And a note says so: the figures of a paper say nothing of another corpus, split or share of the data."""
    names = {"own": {}, "other": {"name": "builtin"}, "file": {"test": "a.conll"}, "unchecked": {"verify": False}}
    jobs = [job(f"features={name}", 1) for name in [*names, "limited", "planned"]]
    published = {one["configuration"]: [{"test": 90.0, "source": "Somebody 2016"}] for one in jobs}
    write_plan(tmp_path, jobs, published=published, data="conll2003")
    usual = {"name": "conll2003", "train": None, "dev": None, "test": None, "verify": True, "counts": {"test": 1}}
    for name in [*names, "limited"]:
        folder = write_run(tmp_path / f"features={name}" / "seed=1", metrics(1))
        limit = 0.5 if name == "limited" else None
        config = {"data": {**usual, **names.get(name, {})}, "trainer": {"limit_train_batches": limit}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    study = collect(tmp_path)
    assert set(study.published) == {"features=own", "features=planned"}
    (note,) = study.notes
    assert note == (
        "The published figures are of conll2003. They are left out for 4 configurations that ran on other data "
        "(data.name=builtin, data.test=FILE, data.verify=false, trainer.limit_train_batches=0.5)."
    )
