"""The ledger: what `ner-lab results add` keeps of runs, refuses and leaves out."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_study import RECORD, job, metrics, scores, write_plan, write_run
from omegaconf import OmegaConf
from sample import Outcome, metrics_of

from ner_lab.cli.results import add
from ner_lab.config.naming import configuration_name
from ner_lab.config.study_files import SWEEPS_DIR
from ner_lab.errors import UserError
from ner_lab.reporting.analysis import find
from ner_lab.reporting.ledger.configuration import Identity, identity_of, identity_of_job, rows_of
from ner_lab.reporting.ledger.page import Main, page
from ner_lab.reporting.ledger.report import OTHERS, collect_from_ledger, read_ledger, rows_in, study_names
from ner_lab.reporting.ledger.sentence_counts import decode, encode

GROUPS = {"data": "files", "word_embedding": "random", "char_encoder": "cnn", "features": "caps", "encoder": "bilstm"}
GROUPS |= {"decoder": "crf", "optimizer": "adam", "paper": "none", "trainer": "cpu", "logger": "none"}
CHOICES = {"char_encoder": "cnn", "decoder": "crf"}
NAME = configuration_name(CHOICES)
STUDIES = ("letters", "ma_hovy2016_components")


@pytest.fixture(scope="module")
def made(run: Path, able: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run as the command line makes them."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("made") / "run")
    change(folder / "run.json", choices=GROUPS, overrides=able)
    return folder


def study_of(run: Path, folder: Path, name: str = "letters", seeds: tuple[int, ...] = (1, 2)) -> Path:
    """A study whose runs are copies of `run`, as those of other seeds."""
    jobs = []
    for seed in seeds:
        place = folder / NAME / f"seed={seed}"
        shutil.copytree(run, place, ignore=shutil.ignore_patterns("checkpoints"))
        change(place / "metrics.json", seed=seed)
        change(
            place / "run.json", overrides=["data.dir=/some/where", "char_encoder=cnn", "decoder=crf", f"seed={seed}"]
        )
        jobs.append(
            {"folder": f"{NAME}/seed={seed}", "configuration": NAME, "label": None, "choices": CHOICES, "seed": seed}
        )
    plan = {"name": name, "question": "Do letters help?", "factors": {key: key for key in CHOICES}, "jobs": jobs}
    plan["published"] = {NAME: [{"test": 91.21, "source": "Someone 2016"}]}
    OmegaConf.save(OmegaConf.create(plan), folder / "study.yaml")
    return folder


def change(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def files_of(ledger: Path) -> dict[str, bytes]:
    return {str(path.relative_to(ledger)): path.read_bytes() for path in ledger.rglob("*") if path.is_file()}


@pytest.mark.parametrize("seed", [0, 1])
def test_counts_of_sentences_survive_as_text(seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 12, size=(40, 3))
    counts[::3] = counts[::3, :1]
    assert decode(encode(counts)).tolist() == counts.tolist()
    assert encode(np.array([[1, 1, 1], [12, 12, 12], [0, 1, 2]])) == "1(12)(0/1/2)"
    assert decode("").shape == (0, 3)
    for odd in ("1x", "(1/2)", "1(", " "):
        with pytest.raises(ValueError, match="no counts"):
            decode(odd)


def test_a_run_is_kept_with_its_figures_and_without_text_and_places(made: Path, tmp_path: Path) -> None:
    (path,) = add([made], tmp_path / "results", notes=["two vectors estimated"]).new
    ((place, record),) = read_ledger(tmp_path / "results")
    metrics = metrics_of(made)
    assert place == path
    assert path.name.startswith("seed=1-")
    assert path.parent.name.startswith("char_encoder=cnn,decoder=crf,")
    assert record["choices"]["encoder"] == "bilstm"
    assert record["settings"]["optimizer.lr"] == "0.03"
    for split in ("dev", "test"):
        assert record[split]["f1"] == metrics[split]["f1"]
        assert record[split]["per_type"] == metrics[split]["per_type"]
        assert record[split]["improper_sequences"] == metrics[split]["improper_sequences"]
        sums = decode(record[split]["sentence_counts"]).sum(axis=0).tolist()
        assert sums == [metrics[split][name] for name in ("correct", "predicted", "gold")]
    assert [epoch for epoch, _, _ in record["curve"]] == list(range(1, 13))
    assert record["best_epoch"] == metrics["best_epoch"]
    assert record["inputs"] == {name: file["sha256"] for name, file in metrics["sources"].items()}
    assert record["notes"] == ["two vectors estimated"]
    text = path.read_text()
    assert not any(word in text for word in ("tmp", "Holm", "Bergen"))


def test_adding_a_run_again_changes_nothing_and_another_run_in_its_place_is_refused(
    made: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    again = shutil.copytree(made, tmp_path / "again")
    ledger = f"ledger={tmp_path / 'results'}"
    assert cli("results", "add", str(made), ledger).code == 0
    before = files_of(tmp_path / "results")
    outcome = cli("results", "add", str(made), str(again), ledger)
    assert (outcome.code, outcome.out.count("in the ledger already: ")) == (0, 2)
    change(again / "metrics.json", train_seconds=1.5)
    outcome = cli("results", "add", str(again), ledger)
    assert outcome.code == 2
    assert "another run of this configuration, seed and commit" in outcome.err
    assert files_of(tmp_path / "results") == before
    assert cli("results", "add", str(made), ledger, "--note", "a note").out.startswith("added to what was there: ")
    assert cli("results", "add", str(again), ledger, "--replace").out.startswith("replaced: ")
    ((_, record),) = read_ledger(tmp_path / "results")
    assert (record["train_seconds"], record["notes"]) == (1.5, ["a note"])


def test_a_study_adds_what_is_finished_and_names_the_rest(
    made: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    study = study_of(made, tmp_path / "study", seeds=(1, 2, 3, 4))
    (study / NAME / "seed=2" / "metrics.json").unlink()
    change(study / NAME / "seed=3" / "metrics.json", status="failed", failure="diverged")
    ledger = tmp_path / "results"
    outcome = cli("results", "add", str(study), f"ledger={ledger}")
    assert outcome.code == 2
    assert f"letters: not finished, left out: {NAME}/seed=2\n" in outcome.out
    assert "seed=3: failed: diverged" in outcome.err
    assert [entry.record["seed"] for entry in read_ledger(ledger)] == [1, 4]
    assert all(rows_in(entry.record)["letters"] == NAME for entry in read_ledger(ledger))
    assert (ledger / "studies" / "letters.json").is_file()
    outcome = cli("results", "add", str(study / NAME / "seed=2"), f"ledger={ledger}")
    assert outcome.code == 2
    assert "seed=2: unfinished" in outcome.err


def test_a_second_study_adds_its_name_to_a_run(made: Path, tmp_path: Path) -> None:
    study = study_of(made, tmp_path / "study", seeds=(1,))
    ledger = tmp_path / "results"
    add([study / NAME / "seed=1"], ledger)  # by the run alone, its study is found above it
    (tmp_path / "study").rename(tmp_path / "other")
    plan = (tmp_path / "other" / "study.yaml").read_text()
    (tmp_path / "other" / "study.yaml").write_text(plan.replace("name: letters", "name: more"))
    added = add([tmp_path / "other"], ledger)
    ((path, record),) = read_ledger(ledger)
    assert added.extended == [path]
    assert {"letters", "more"} <= set(rows_in(record))


def test_a_run_told_more_than_its_study_says_is_no_row_of_it(made: Path, tmp_path: Path) -> None:
    study = study_of(made, tmp_path / "study", seeds=(1,))
    change(study / NAME / "seed=1" / "run.json", overrides=[f"{NAME.replace(',', ' ')}", "trainer.max_epochs=5"])
    added = add([study], tmp_path / "results")
    ((_, record),) = read_ledger(tmp_path / "results")
    assert "letters" not in rows_in(record)
    assert added.apart[0].endswith("no row of letters, because it had trainer.max_epochs=5")


def test_predictions_that_were_not_scored_are_refused(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "run")
    shutil.copy(copy / "predictions" / "dev.conll", copy / "predictions" / "test.conll")
    added = add([copy], tmp_path / "results")
    assert added.new == []
    assert "not what metrics.json scored" in added.refused[0]


def graded(folder: Path) -> Path:
    """A study of two configurations, of which the second finds less, with three seeds each."""
    jobs = []
    for decoder, misses in (("crf", 0), ("softmax", 2)):
        for seed in (1, 2, 3):
            entry = job(f"char_encoder=cnn,decoder={decoder}", seed)
            wrong = range(misses + seed % 2)
            record = {**RECORD, "choices": GROUPS | entry["choices"], "overrides": [f"seed={seed}"]}
            content = metrics(seed) | {"test": scores(wrong=wrong)}
            write_run(folder / entry["folder"], content, record=record, wrong=wrong)
            jobs.append(entry)
    return write_plan(folder, jobs, published={NAME: [{"test": 91.21, "source": "Someone 2016"}]})


def test_a_ledger_gives_the_report_that_the_run_folders_give(
    tmp_path: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ner_lab.cli.report.draw", lambda findings, folder: [])
    study, ledger, out = graded(tmp_path / "study"), tmp_path / "results", tmp_path / "out"
    add([study], ledger, notes=["one vector estimated"])
    assert cli("report", str(study), "rounds=50").code == 0
    shutil.rmtree(study / NAME)  # the ledger is enough
    outcome = cli("report", str(ledger), f"output={out}", "rounds=50")
    assert outcome.code == 0, outcome.err
    for name in ("table.csv", "types.csv", "table.tex"):
        assert (out / "letters" / name).read_text() == (study / "report" / name).read_text(), name
    text = (out / "letters" / "report.md").read_text()
    assert "one vector estimated (all runs)" in text
    before = files_of(out)
    assert cli("report", str(ledger), "study=letters", f"output={out}", "rounds=50").code == 0
    assert files_of(out) == before
    assert "Did you mean 'letters'?" in cli("report", str(ledger), "study=leters").err


def test_the_page_of_a_ledger_has_published_and_reached_figures_side_by_side(tmp_path: Path) -> None:
    study, ledger = graded(tmp_path / "study"), tmp_path / "results"
    add([study / NAME], ledger, notes=["one vector estimated"])
    studies = [find(collect_from_ledger(ledger, read_ledger(ledger), name), rounds=50) for name in STUDIES]
    text = page(
        studies, [Main("Ours", "letters", NAME), Main("Theirs", "ma_hovy2016_components", "BRNN")], {"letters": "l.svg"}
    )
    (row,) = re.findall(r"^\| cnn +\| crf .*", text, re.MULTILINE)
    summary = next(row.f1["test"] for row in studies[0].rows if row.name == NAME)
    assert [cell.strip() for cell in row.split("|")[3:-1]] == [
        *("91.21", f"{summary.mean:.2f} ± {summary.std:.2f}", "3", f"{summary.low:.2f} to {summary.high:.2f}"),
        *(f"−{91.21 - summary.mean:.2f}", "80.00 ± 0.00", "1", RECORD["git"]["commit"][:8]),
    ]
    assert "\n1. one vector estimated\n" in text
    assert "\nPublished: Someone 2016.\n" in text
    assert "](l.svg)" in text
    assert re.search(r"^\| Ours +\| +91.21 \| \d", text, re.MULTILINE)
    assert re.search(r"^\| Theirs +\| +85.44 \| not run yet +\| +0 ", text, re.MULTILINE)
    assert re.search(r"^\| ma\\_hovy2016\\_components \| BLSTM-CNN-CRF +\| 91.21; 90.64 \(n 86\) ", text, re.MULTILINE)


def test_of_two_runs_of_a_seed_the_one_of_the_code_with_most_seeds_counts(tmp_path: Path) -> None:
    study, ledger = graded(tmp_path / "study"), tmp_path / "results"
    add([study], ledger)
    folder = study / NAME / "seed=2"
    change(folder / "run.json", code="0123456789abcdef", git={"commit": "0" * 40, "changed": False})
    change(folder / "metrics.json", train_seconds=9)
    assert len(add([folder], ledger).new) == 1
    found = collect_from_ledger(ledger, read_ledger(ledger), "letters")
    assert [run.seed for run in found.configurations[0].runs] == [1, 2, 3]
    assert {run.code for run in found.runs} == {RECORD["code"]}
    assert [run.seed for run in found.superseded] == [2]


def test_rows_of_a_study_that_have_no_run_are_planned_and_runs_of_no_study_are_reported_by_themselves(
    made: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "results"
    add([made], ledger)
    entries = read_ledger(ledger)
    assert study_names(entries) == [OTHERS]
    (run,) = collect_from_ledger(ledger, entries, OTHERS).runs
    assert run.metrics["test"]["f1"] == metrics_of(made)["test"]["f1"]
    planned = collect_from_ledger(ledger, entries, "ma_hovy2016_components")
    assert planned.planned == 20
    assert [row.label for row in planned.configurations] == ["BRNN", "BLSTM", "BLSTM-CNN", "BLSTM-CNN-CRF"]
    assert {run.reason for run in planned.runs} == {"not run yet"}


@pytest.mark.parametrize("damage", ['{"seed": 1', "[]", "{}", None])
def test_a_damaged_record_is_named(damage: str | None, made: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "results"
    (path,) = add([made], ledger).new
    record = json.loads(path.read_text())
    path.write_text(damage or json.dumps(record | {"test": record["test"] | {"sentence_counts": "1?"}}))
    with pytest.raises(UserError, match=path.name):
        collect_from_ledger(ledger, read_ledger(ledger), OTHERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give add or match"),
        (["add"], "which runs?"),
        (["match", "RUN"], "match takes --ledger DIR only"),
        (["add", "nowhere"], "no such folder"),
        (["add", "RUN", "--note"], "--note needs a value"),
        (["add", "RUN", "--replcae"], "--replcae"),
        (["add", "RUN", "ledger=full"], "not a ledger and not empty"),
    ],
)
def test_what_cannot_be_added_is_refused_with_the_next_step(
    arguments: list[str],
    message: str,
    made: Path,
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    outcome = cli("results", *(str(made) if word == "RUN" else word for word in arguments))
    assert outcome.code == 2
    assert message in outcome.err


def test_a_configuration_has_a_row_in_every_study_that_has_it() -> None:
    file = SWEEPS_DIR / "chars_by_decoder_conll2003.yaml"
    some = {
        name: SWEEPS_DIR / f"{name}.yaml" for name in ("chars_by_decoder_conll2003", "decoders", "huang2015_models")
    }
    found = identity_of_job(file, ("char_encoder=cnn", "decoder=crf"))
    assert rows_of(found, some) == {
        "chars_by_decoder_conll2003": "char_encoder=cnn,decoder=crf",
        "decoders": "decoder=crf",
    }
    cut = Identity(found.choices, {"trainer.max_epochs": "5"})
    assert rows_of(cut, some) == {}


def test_rows_are_looked_for_again_when_studies_have_changed(
    made: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    ledger = tmp_path / "results"
    (path,) = add([made], ledger).new
    record = json.loads(path.read_text())
    stale = [{"name": name, "configuration": "once=so"} for name in ("decoders", "letters")]
    choices = identity_of_job(SWEEPS_DIR / "decoders.yaml", ("decoder=crf",)).choices
    path.write_text(json.dumps(record | {"choices": choices, "settings": {}, "studies": stale}))
    assert cli("results", "match", f"ledger={ledger}").out.startswith("added to what was there: ")
    ((_, found),) = read_ledger(ledger)
    assert rows_in(found)["decoders"] == "decoder=crf"
    assert rows_in(found)["four_papers_one_protocol"] == "char_encoder=cnn,decoder=crf,encoder=bilstm,features=none"
    assert rows_in(found)["letters"] == "once=so"
    assert cli("results", "match", f"ledger={ledger}").out == ""


def test_places_and_settings_of_the_machine_make_no_configuration() -> None:
    from ner_lab.config.compose import compose_config

    choices = {"data": "conll2003", "paper": "ma_hovy2016", "logger": "none", "trainer": "cpu"}
    told = ["data.dir=/home/me", "word_embedding.path=/v.txt", "threads=2", "trainer.max_epochs=7", "seed=3"]
    config = compose_config([*(f"{key}={value}" for key, value in choices.items()), *told])
    found = identity_of(config, choices, told)
    assert found.settings == {"trainer.max_epochs": "7"}
    assert found.name == "paper=ma_hovy2016,trainer.max_epochs=7"
