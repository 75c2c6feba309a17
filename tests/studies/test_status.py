"""Where a study stands, as it is shown: counts, scores, bars, time left, failures with their reasons."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.runs.folder import RunFolder
from ner_lab.studies.status import (
    JobStatus,
    duration,
    failure_report,
    overview,
    progress_note,
    read_status,
    running_lines,
    seconds_left,
    speed_together,
    status_table,
    summary_line,
)

HISTORY = [{"seconds": 10.0, "tokens_per_second": 6000.0}, {"seconds": 20.0, "tokens_per_second": 2000.0}]
DONE = {"status": "ok", "dev": {"f1": 90.0}, "test": {"f1": 80.0}, "train_seconds": 50.0, "data_seconds": 10.0}
DONE |= {"train_tokens_per_second": 4000.0, "history": HISTORY}


def job(configuration: str, seed: int) -> dict[str, Any]:
    return {
        "folder": f"{configuration}/seed={seed}",
        "configuration": configuration,
        "label": None,
        "choices": dict([configuration.split("=")]),
        "seed": seed,
    }


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder of a study with a job in each state, one of them running while the fixture lives."""
    jobs = [job("decoder=crf", seed) for seed in (1, 2, 3)] + [job("decoder=softmax", seed) for seed in (1, 2, 3)]
    (tmp_path / "study.yaml").write_text(json.dumps({"jobs": jobs}))

    def place(folder: str, **files: Any) -> RunFolder:
        run = RunFolder(tmp_path / folder)
        run.path.mkdir(parents=True)
        for name, content in files.items():
            getattr(run, name).write_text(json.dumps(content))
        return run

    first = place("decoder=crf/seed=1", config={}, metrics=DONE)
    other = {"dev": {"f1": 92.0}, "test": {"f1": 81.0}, "train_tokens_per_second": 5000.0}
    second = place("decoder=crf/seed=2", config={}, metrics={**DONE, **other})
    os.utime(first.metrics, (1000.0, 1000.0))
    os.utime(second.metrics, (1020.0, 1020.0))  # 60 s each, 40 s of them side by side
    running = place("decoder=crf/seed=3", config={})
    running.progress.write_text('{"epoch": 13, "epochs": 25, "share": 0.5, "f1": 91.2, "best": 91.35}')
    place("decoder=softmax/seed=1", failure={"reason": "killed by SIGKILL", "log": [f"line {n}" for n in range(9)]})
    place("decoder=softmax/seed=2", config={})
    running._hold()
    yield tmp_path
    running.release()


def test_every_job_on_record_is_read_with_its_state(study: Path) -> None:
    statuses = read_status(study)
    assert {status.folder: status.state for status in statuses} == {
        "decoder=crf/seed=1": "done",
        "decoder=crf/seed=2": "done",
        "decoder=crf/seed=3": "running",
        "decoder=softmax/seed=1": "failed",
        "decoder=softmax/seed=2": "unfinished",
        "decoder=softmax/seed=3": "left",
    }
    assert (statuses[0].dev, statuses[0].test, statuses[0].seconds) == (90.0, 80.0, 60.0)
    assert statuses[2].share == 0.5
    assert [status.folder for status in read_status(study, [job("decoder=crf", 1)])] == ["decoder=crf/seed=1"]


def test_the_table_counts_jobs_and_averages_finished_ones(study: Path) -> None:
    header, _, *rows = [line.split() for line in status_table(read_status(study)).splitlines()]
    states = ["done", "running", "failed", "unfinished", "left"]
    assert header == ["configuration", *states, "dev", "F1", "test", "F1", "tokens/s"]
    assert rows == [
        ["decoder=crf", "2", "1", "0", "0", "0", "91.00", "80.50", "4,500"],
        ["decoder=softmax", "0", "0", "1", "1", "1", "-", "-", "-"],
        ["all", "2", "1", "1", "1", "1", "4,500"],
    ]


def test_rows_are_told_by_their_labels(study: Path) -> None:
    labelled = [job("decoder=crf", seed) | {"label": "BLSTM-CNN-CRF"} for seed in (1, 2)]
    assert status_table(read_status(study, labelled)).splitlines()[2].split()[:2] == ["BLSTM-CNN-CRF", "2"]


def test_a_running_job_has_a_bar_its_epoch_and_scores(study: Path) -> None:
    (line,) = running_lines(read_status(study)).splitlines()
    assert line.split("  ")[1] == "decoder=crf/seed=3"
    assert line.count("━") == line.count("╌") == 12
    assert " 50%" in line
    assert line.endswith("epoch 13/25  dev F1 91.20 (best 91.35)")


def test_before_its_first_words_a_job_is_starting() -> None:
    assert progress_note({}) == "starting"
    assert progress_note({"epoch": 1, "epochs": 25, "share": 0.0, "f1": None, "best": None}) == "epoch 1/25"


def test_a_failure_is_told_with_its_reason_and_the_end_of_its_log(study: Path) -> None:
    report = failure_report(read_status(study), lines=2)
    assert report.splitlines() == ["  decoder=softmax/seed=1: killed by SIGKILL", "    | line 7", "    | line 8"]


def test_the_summary_counts_states_and_time_left(study: Path) -> None:
    # three jobs wait and half a job runs, a minute each, one at a time
    assert summary_line(read_status(study)) == (
        "2 done, 1 running, 1 failed, 1 unfinished, 1 left; about 3 min 30 s left"
    )


def test_when_none_runs_the_time_is_that_of_one_job_at_a_time(study: Path) -> None:
    waiting = [status for status in read_status(study) if status.state != "running"]
    assert "; about 3 min 00 s, one job at a time; all jobs together" in summary_line(waiting)
    finished = [status for status in waiting if status.state == "done"]
    assert summary_line(finished) == "2 done; all jobs together 2,500 tokens/s"
    begun = [status for status in waiting if status.state != "done"]
    assert summary_line(begun) == "1 failed, 1 unfinished, 1 left"


def test_the_overview_holds_it_all_and_leaves_out_what_there_is_not(study: Path) -> None:
    statuses = read_status(study)
    text = overview(statuses)
    for part in (status_table(statuses), running_lines(statuses), summary_line(statuses), failure_report(statuses)):
        assert part in text
    finished = [status for status in statuses if status.state == "done"]
    assert overview(finished) == f"{status_table(finished)}\n\n{summary_line(finished)}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
    ],
)
def test_durations_are_told_in_their_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_is_the_work_left_by_what_runs_at_once() -> None:
    assert seconds_left([], [0.5], 3, 2) is None
    assert seconds_left([60, 120], [], 4, 2) == 180
    assert seconds_left([60], [0.5, 0.5], 0, 2) == 30
    assert seconds_left([60], [], 1, 8) == 60  # one job is not shared
    assert seconds_left([60], [], 0, 8) == 0


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(1, 1e4), min_size=1, max_size=5),
    st.lists(st.floats(0, 1), max_size=4),
    st.integers(0, 50),
    st.integers(1, 8),
)
def test_more_at_once_never_takes_longer_and_more_to_do_never_less(
    durations: list[float], shares: list[float], waiting: int, at_once: int
) -> None:
    left = seconds_left(durations, shares, waiting, at_once)
    assert left is not None
    assert seconds_left(durations, shares, waiting, at_once + 1) <= left
    assert seconds_left(durations, shares, waiting + at_once, at_once) >= left


# how fast a study is


def ended(at: float, seconds: float, tokens: float = 100.0) -> JobStatus:
    return JobStatus(RunFolder("run"), "run", "a=b", "done", seconds=seconds, tokens=tokens, ended=at)


@pytest.mark.parametrize(
    ("jobs", "speed"),
    [
        ([ended(10, 10)], 10.0),
        ([ended(10, 10), ended(20, 10)], 10.0),  # one after the other
        ([ended(10, 10), ended(10, 10)], 20.0),  # side by side
        ([ended(20, 20), ended(15, 5)], 10.0),  # one within the other
        ([ended(15, 10), ended(10, 10)], 200 / 15),  # in part, in any order
        ([ended(10, 10), ended(40, 10)], 5.0),  # processes start meanwhile
        ([ended(10, 10), ended(10_000, 10)], 10.0),  # the study was taken up again later
    ],
)
def test_jobs_side_by_side_share_their_time_and_pauses_of_the_study_do_not_count(
    jobs: list[JobStatus], speed: float
) -> None:
    assert speed_together(jobs) == pytest.approx(speed)


def test_jobs_that_have_not_ended_or_trained_on_nothing_have_no_speed() -> None:
    waiting = JobStatus(RunFolder("run"), "run", "a=b", "left")
    assert speed_together([]) is speed_together([waiting]) is speed_together([ended(10, 10, tokens=0.0)]) is None
    assert speed_together([waiting, ended(10, 10)]) == 10.0


def test_while_jobs_run_the_speed_of_all_is_not_known(study: Path) -> None:
    assert "tokens/s" not in summary_line(read_status(study))
