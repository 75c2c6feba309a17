"""Scoring a run: on its own corpus, and on files written otherwise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from sample import TEST, TRAIN, Outcome, marked, metrics_of, read_columns, write_corpus

from ner_lab.errors import UserError
from ner_lab.inference.evaluate import evaluate


def test_on_its_own_corpus_a_run_scores_what_its_metrics_say(run: Path) -> None:
    scored = evaluate(run)
    assert {name: split.scores for name, split in scored.items()} == {
        name: metrics_of(run)[name] for name in ("dev", "test")
    }


def test_only_the_splits_asked_for_are_scored(run: Path) -> None:
    assert list(evaluate(run, splits=["test"])) == ["test"]
    assert evaluate(run, splits=["train"])["train"].scores["gold"] == sum(len(s.spans) for s in marked(TRAIN))


@pytest.mark.parametrize(
    ("scheme", "columns", "separator", "overrides"),
    [
        ("BILOU", ("tag", "pos", "word"), " ", ["data.columns.word=2", "data.columns.tag=0"]),
        ("IOBES", ("pos", "word", "tag", "chunk"), "\t", ["data.columns.word=1", "data.columns.tag=2"]),
        ("IOB1", ("tag", "word"), " ", ["data.columns={word: -1, tag: 0}"]),
        ("IOB2", ("word", "tag"), "\t", []),
    ],
)
def test_scheme_and_order_of_columns_of_another_file_do_not_matter(
    scheme: str, columns: tuple[str, ...], separator: str, overrides: list[str], run: Path, tmp_path: Path
) -> None:
    file = write_corpus(tmp_path / "other", marked(TEST), scheme=scheme, columns=columns, separator=separator)
    scored = evaluate(run, ["data=files", f"data.test={file}", *overrides])
    assert list(scored) == ["test"]
    assert scored["test"].scores == metrics_of(run)["test"]


@pytest.mark.parametrize(
    ("columns", "overrides", "warned"),
    [
        (("pos", "word", "tag"), [], False),
        (("pos", "word", "chunk", "tag"), ["data.columns.tag=3"], False),
        (("word", "tag"), [], True),  # narrower than the run's columns
    ],
)
def test_files_are_read_in_the_columns_of_the_runs_data(
    columns: tuple[str, ...],
    overrides: list[str],
    warned: bool,
    run: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = OmegaConf.load(run / "config.yaml")
    config.data.columns = {"word": 1, "tag": 2}
    other = shutil.copytree(run, tmp_path / "run")
    OmegaConf.save(config, other / "config.yaml")
    file = write_corpus(tmp_path / "other", marked(TEST), columns=columns)
    scored = evaluate(other, ["data=files", f"data.test={file}", *overrides])
    assert scored["test"].scores == metrics_of(run)["test"]
    assert ("has too few columns to be read as the run's data" in caplog.text) == warned


def test_without_a_data_option_single_keys_of_the_runs_own_are_changed(run: Path, corpus: Path) -> None:
    scored = evaluate(run, [f"data.test={corpus / 'dev.conll'}"])
    assert scored["test"].scores == scored["dev"].scores == metrics_of(run)["dev"]


def test_words_are_read_as_the_tagger_was_trained_to_read_them(run: Path, corpus: Path) -> None:
    # letters, digits and scheme are the tagger's affair: what the other corpus says of them must change nothing
    normal = ["data.max_word_length=1", "data.digits=zero_run", "data.lowercase=true", "data.scheme=IOB2"]
    other = evaluate(run, ["data=files", f"data.test={corpus / 'test.conll'}", *normal])["test"]
    own = evaluate(run, splits=["test"])["test"]
    for name in ("words", "chars"):
        assert np.array_equal(getattr(other.split.table, name), getattr(own.split.table, name))
    assert other.scores == own.scores


def test_a_type_the_tagger_never_saw_counts_as_missed(run: Path, tmp_path: Path) -> None:
    known = marked(TEST)
    new = marked("[MISC Norwegian] boats left .\n[MISC Welsh] [LOC Oslo]")
    file = write_corpus(tmp_path / "new.conll", [*known, *new])
    scores = evaluate(run, ["data=files", f"data.test={file}"])["test"].scores
    assert scores["per_type"]["MISC"] == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "correct": 0,
        "predicted": 0,
        "gold": 2,
    }
    assert scores["gold"] == sum(len(sentence.spans) for sentence in [*known, *new])
    assert scores["recall"] == pytest.approx(100 * scores["correct"] / scores["gold"])


@pytest.mark.parametrize("mapped", [False, True])
def test_types_the_run_does_not_know_are_named_in_one_line_and_can_be_mapped(
    mapped: bool, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_corpus(tmp_path / "other.conll", marked(TEST))
    file.write_text(file.read_text().replace("-PER", "-PERSON").replace("-LOC", "-LOCATION"))
    mapping = ["data.map_types={PERSON: PER, LOCATION: LOC}"] if mapped else []
    scores = evaluate(run, ["data=files", f"data.test={file}", *mapping])["test"].scores
    if mapped:
        assert scores == metrics_of(run)["test"]
        assert not caplog.records
        return
    (line,) = caplog.messages
    assert line == (
        "test: 2 types that the run does not know: LOCATION, PERSON; 5 entities count as missed. The run predicts LOC, "
        "ORG, PER. If they are other names for the same types: 'data.map_types={LOCATION: LOC, PERSON: PER}'."
    )
    assert scores["per_type"]["PERSON"]["correct"] == 0


def test_predictions_are_not_scored_as_gold(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = run / "predictions" / "test.conll"
    with pytest.raises(UserError, match=r"columns 1 and 2 both have tags.*data\.columns\.tag=1 to read the gold tags"):
        evaluate(run, ["data=files", f"data.test={file}"])
    gold = evaluate(run, ["data=files", f"data.test={file}", "data.columns.tag=1"])
    assert gold["test"].scores == metrics_of(run)["test"]
    assert not caplog.records
    evaluate(run, ["data=files", f"data.test={file}", "data.columns.tag=2"])
    assert "the tags are read from column 2" in caplog.messages[0]


def test_an_unknown_split_is_refused_with_those_there_are(run: Path) -> None:
    with pytest.raises(UserError, match="this corpus has train, dev, test"):
        evaluate(run, splits=["tset"])


def test_files_without_a_split_to_score_are_refused(run: Path) -> None:
    with pytest.raises(UserError, match=r"data\.test=FILE"):
        evaluate(run, ["data=files"])


def test_the_command_prints_scores_and_writes_them_where_told(
    run: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    outcome = cli("evaluate", f"run={run}", "splits=test,dev", f"output={tmp_path / 'here'}")
    assert outcome.code == 0, outcome.said
    metrics = metrics_of(run)
    for split in ("dev", "test"):
        assert f"{metrics[split]['f1']:.2f}" in outcome.out
    written = json.loads((tmp_path / "here" / "evaluation.json").read_text(encoding="utf-8"))
    assert {split: written[split] for split in ("dev", "test")} == {split: metrics[split] for split in ("dev", "test")}
    path = Path("predictions") / "test.conll"
    assert read_columns(tmp_path / "here" / path) == read_columns(run / path)


def test_without_output_nothing_is_written(
    run: Path, tmp_path: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(run.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert cli("evaluate", f"run={run}").code == 0
    assert sorted(run.rglob("*")) == before
    assert not list(tmp_path.iterdir())
