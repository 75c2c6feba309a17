"""`study.yaml`: what a sweep leaves on record, and what it does not."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ner_lab.config.compose import compose_config
from ner_lab.config.grid import Job, expand
from ner_lab.errors import UserError
from ner_lab.runs.provenance import command_line
from ner_lab.studies.manifest import is_swept, read_record, recorded, write_record

GRID = {"decoder": "softmax,crf", "char_encoder": "none,cnn", "seed": "1,2"}
ROWS = {"BLSTM": {"char_encoder": "none"}, "BLSTM-CNN": {"char_encoder": "cnn"}}


def jobs_of(params: dict[str, Any], rows: dict[str, Any] | None = None) -> list[Job]:
    return expand(OverridesParser.create().parse_overrides, params, rows or {}, [], 1)


@cache
def unsaid() -> dict[str, Any]:
    """The `study` section of a config that says nothing about one."""
    return OmegaConf.to_container(compose_config([]).study)  # type: ignore[return-value]


def study_of(**stated: Any) -> DictConfig:
    return OmegaConf.create({**unsaid(), **stated})


def written(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))


def test_a_study_is_recorded_with_what_it_asks_and_every_job(tmp_path: Path) -> None:
    study = study_of(question="Why?", factors={"char_encoder": "char encoder", "gone": "not swept"})
    write_record(tmp_path / "mine", study, jobs_of(GRID))
    record = written(tmp_path / "mine")
    assert (record["name"], record["question"], record["baseline"], record["published"]) == ("mine", "Why?", None, {})
    assert list(record["factors"].items()) == [("char_encoder", "char encoder"), ("decoder", "decoder")]
    assert record["command"] == command_line()
    assert len(record["jobs"]) == 8
    assert record["jobs"][2] == {
        "folder": "char_encoder=cnn,decoder=softmax/seed=1",
        "configuration": "char_encoder=cnn,decoder=softmax",
        "label": None,
        "choices": {"decoder": "softmax", "char_encoder": "cnn"},
        "seed": 1,
    }
    assert read_record(tmp_path / "mine") == record


def test_a_study_may_name_itself(tmp_path: Path) -> None:
    write_record(tmp_path / "folder", study_of(name="own"), jobs_of(GRID))
    assert written(tmp_path / "folder")["name"] == "own"


def test_baseline_and_published_figures_are_found_by_choices_in_any_order(tmp_path: Path) -> None:
    figure = {"test": 91.21, "source": "a table"}
    published = {"decoder=crf, char_encoder=cnn": figure, "char_encoder=none,decoder=crf": [figure, {"dev": 90.0}]}
    write_record(tmp_path, study_of(baseline="decoder=softmax,char_encoder=none", published=published), jobs_of(GRID))
    record = written(tmp_path)
    assert record["baseline"] == "char_encoder=none,decoder=softmax"
    assert record["published"] == {
        "char_encoder=cnn,decoder=crf": [figure],
        "char_encoder=none,decoder=crf": [figure, {"dev": 90.0}],
    }


def test_baseline_and_published_figures_are_found_by_a_rows_label(tmp_path: Path) -> None:
    study = study_of(baseline="BLSTM", published={"BLSTM-CNN": {"test": 1.0}, "char_encoder=none": {"test": 2.0}})
    write_record(tmp_path, study, jobs_of({"seed": "1"}, ROWS))
    record = written(tmp_path)
    assert record["baseline"] == "char_encoder=none"
    assert record["published"] == {"char_encoder=cnn": [{"test": 1.0}], "char_encoder=none": [{"test": 2.0}]}
    assert [job["label"] for job in record["jobs"]] == ["BLSTM", "BLSTM-CNN"]


def test_a_baseline_may_be_a_row_that_is_not_run_now(tmp_path: Path) -> None:
    jobs = jobs_of({"seed": "1"}, ROWS)
    with recorded(tmp_path, study_of(baseline="BLSTM"), jobs[1:], others=jobs):
        pass
    record = written(tmp_path)
    assert record["baseline"] == "char_encoder=none"
    assert [job["label"] for job in record["jobs"]] == ["BLSTM-CNN"]


def test_a_study_may_leave_all_but_its_jobs_unsaid(tmp_path: Path) -> None:
    write_record(tmp_path, study_of(factors=None, published=None), jobs_of({"decoder": "crf"}))
    assert written(tmp_path)["factors"] == {"decoder": "decoder"}


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"baseline": "BLSTN"}, r"no row 'BLSTN'\. Did you mean 'BLSTM'\?"),
        ({"published": {"BLSTN": {"test": 1}}}, r"no row 'BLSTN'\. Did you mean 'BLSTM'\?"),
        ({"published": {"BLSTM": {"tset": 1}}}, r"published 'BLSTM': unknown key 'tset'.*source, test"),
        ({"published": {"BLSTM": [{"dev": 1}, {"f1": 1}]}}, "published 'BLSTM': unknown key 'f1'"),
        ({"published": {"BLSTM": 91.2}}, r"published 'BLSTM': '91\.2', expected \{test: "),
    ],
)
def test_what_a_study_cannot_mean_is_refused(stated: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        write_record(tmp_path, study_of(**stated), jobs_of({"seed": "1"}, ROWS))
    assert not (tmp_path / "study.yaml").exists()


def test_a_later_sweep_adds_its_jobs_and_keeps_the_earlier_ones(tmp_path: Path) -> None:
    write_record(tmp_path, study_of(question="old"), jobs_of({"decoder": "softmax,crf", "seed": "2,1"}))
    write_record(tmp_path, study_of(question="new"), jobs_of({"decoder": "memm,crf", "seed": "10,2"}))
    record = written(tmp_path)
    assert record["question"] == "new"
    assert [job["folder"] for job in record["jobs"]] == [
        *("decoder=softmax/seed=1", "decoder=softmax/seed=2"),
        *("decoder=crf/seed=1", "decoder=crf/seed=2", "decoder=crf/seed=10"),
        *("decoder=memm/seed=2", "decoder=memm/seed=10"),
    ]


def test_another_factor_joins_those_of_earlier_sweeps(tmp_path: Path) -> None:
    write_record(tmp_path, study_of(), jobs_of({"decoder": "crf"}))
    write_record(tmp_path, study_of(), jobs_of({"decoder": "crf", "optimizer.lr": "0.1,0.2"}))
    assert set(written(tmp_path)["factors"]) == {"decoder", "optimizer.lr"}


# what is refused leaves no trace


@pytest.mark.parametrize("error", [UserError("no"), OmegaConfBaseException("no")])
def test_a_refused_sweep_leaves_the_record_as_it_was(error: Exception, tmp_path: Path) -> None:
    write_record(tmp_path, study_of(question="old"), jobs_of({"decoder": "crf"}))
    before = (tmp_path / "study.yaml").read_bytes()
    refusals = (UserError, OmegaConfBaseException)
    sweep = recorded(tmp_path, study_of(), jobs_of(GRID), refusals=refusals)
    sweep.__enter__()
    assert len(written(tmp_path)["jobs"]) == 9
    assert not sweep.__exit__(type(error), error, None)
    assert (tmp_path / "study.yaml").read_bytes() == before


def test_a_first_sweep_that_is_refused_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(UserError), recorded(tmp_path / "new", study_of(), jobs_of(GRID)):
        raise UserError("no")
    assert not (tmp_path / "new" / "study.yaml").exists()


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
def test_a_sweep_that_is_broken_off_stays_on_record(end: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(end), recorded(tmp_path, study_of(), jobs_of(GRID)):
        raise end
    assert len(written(tmp_path)["jobs"]) == 8


def test_a_folder_is_swept_as_long_as_one_of_its_sweeps_runs(tmp_path: Path) -> None:
    assert not is_swept(tmp_path)
    with recorded(tmp_path, study_of(), jobs_of(GRID)):
        with recorded(tmp_path, study_of(), jobs_of({"decoder": "memm"})):
            assert is_swept(tmp_path)
        assert is_swept(tmp_path)
    assert not is_swept(tmp_path)
    assert len(written(tmp_path)["jobs"]) == 9


# reading


@pytest.mark.parametrize(
    "text",
    ["jobs: [", "a: b: c", "", "[]", "jobs: 3", "jobs: [1]", "jobs: [{folder: a}]", "\tjobs: []", "jobs: ${nowhere}"],
)
def test_a_damaged_record_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=f"(?s)^{path}: .*Move it away"):
        read_record(tmp_path)
    with pytest.raises(UserError, match=f"^{path}: "), recorded(tmp_path, study_of(), jobs_of(GRID)):
        pass
    assert path.read_text() == text


def test_a_record_of_bytes_that_are_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(UserError, match=r"study\.yaml: cannot be read"):
        read_record(tmp_path)


def test_a_folder_without_a_record_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no study\.yaml there.*ner-lab sweep NAME"):
        read_record(tmp_path)


def test_reading_a_record_needs_neither_torch_nor_hydra() -> None:
    code = "import ner_lab.studies.status, sys; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
