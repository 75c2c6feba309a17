"""Training from config to run folder."""

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from finished import same_weights, without_times
from sample import (
    DEV,
    NO_DROPOUT,
    TEST,
    TRAIN,
    Outcome,
    marked,
    metrics_of,
    read_columns,
    write_corpus,
)

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch, BatchMaker, eval_batches
from ner_lab.data.preparation import encode, prepare
from ner_lab.data.sentence import Sentence
from ner_lab.errors import UserError
from ner_lab.inference.evaluate import evaluate
from ner_lab.inference.trained_tagger import load
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.runs.folder import RunFolder
from ner_lab.training.callbacks.history import Diverged, EpochLog
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import score_kept as scored_splits
from ner_lab.training.train import train, untrained_module


def to_the_end(train_on: str, epochs: int) -> list[str]:
    """Settings for so many epochs on these splits."""
    return [f"data.train_on={train_on}", "early_stopping.patience=null", f"trainer.max_epochs={epochs}"]


def trained(folder: Path, *overrides: str) -> dict[str, Any]:
    return train(compose_config(overrides), folder)


def conlleval_f1(rows: Sequence[Sequence[Sequence[str]]]) -> float:
    """F1 of `token gold predicted` as the shared task's script counts: a chunk ends where the next tag is O or B-,
    or of another type, and begins at B-, at the first I- behind O, or where the type changes."""

    def chunks(tags: Sequence[str]) -> set[tuple[int, int, str]]:
        found, start = set(), None
        for here, tag in enumerate([*tags, "O"]):
            before = tags[here - 1] if here else "O"
            changes = tag[2:] != before[2:]
            if start is not None and (tag == "O" or tag[0] == "B" or changes):
                found.add((start, here, before[2:]))
                start = None
            if tag != "O" and (tag[0] == "B" or before == "O" or changes):
                start = here
        return found

    correct = there = guessed = 0
    for sentence in rows:
        gold, predicted = (chunks([row[column] for row in sentence]) for column in (1, 2))
        correct += len(gold & predicted)
        there += len(gold)
        guessed += len(predicted)
    return 200 * correct / (there + guessed) if correct else 0.0


@pytest.mark.parametrize("decoder", ["crf", "softmax"])
def test_five_sentences_are_learned_by_heart(decoder: str, small: list[str], tmp_path: Path) -> None:
    five = write_corpus(tmp_path / "five.conll", marked(TRAIN)[:5])
    metrics = trained(
        tmp_path / "run",
        *small,
        *NO_DROPOUT,
        f"data.train={five}",
        f"data.dev={five}",
        "data.batch_size=2",
        f"decoder={decoder}",
        "optimizer.lr=0.03",
        "trainer.max_epochs=30",
    )
    assert metrics["dev"]["f1"] == 100
    assert metrics["dev"]["accuracy"] == 100
    assert metrics["history"][-1]["train_loss"] < 0.05


def test_the_same_seed_gives_the_same_weights_and_numbers_to_the_last_bit(small: list[str], tmp_path: Path) -> None:
    settings = [*small, "data.singleton_unk=0.5", "trainer.max_epochs=2"]
    for name in ("first", "again"):
        torch.randn(7)  # whatever was drawn before must not matter
        trained(tmp_path / name, *settings)
    trained(tmp_path / "other", *settings, "seed=2")
    assert same_weights(tmp_path / "first", tmp_path / "again")
    assert without_times(metrics_of(tmp_path / "first")) == without_times(metrics_of(tmp_path / "again"))
    assert not same_weights(tmp_path / "first", tmp_path / "other")
    first, other = (metrics_of(tmp_path / name)["history"][0]["train_loss"] for name in ("first", "other"))
    assert first != other


def test_metrics_hold_what_a_report_needs(run: Path) -> None:
    metrics = metrics_of(run)
    assert metrics["seed"] == 1
    assert metrics["epochs"] == len(metrics["history"]) == 12
    assert metrics["train_seconds"] > 0
    for split, text in (("dev", DEV), ("test", TEST)):
        scores = metrics[split]
        for name in ("precision", "recall", "f1", "accuracy", "f1_strict"):
            assert 0 <= scores[name] <= 100
        assert scores["sentences"] == len(marked(text))
        assert scores["tokens"] == sum(len(sentence.words) for sentence in marked(text))
        assert scores["gold"] == sum(len(sentence.spans) for sentence in marked(text))
        assert set(scores["per_type"]) == {"LOC", "ORG", "PER"}
        for name in ("gold", "predicted", "correct"):
            assert scores[name] == sum(row[name] for row in scores["per_type"].values())
        assert 0 <= scores["improper_sequences"] <= scores["sentences"]


def test_the_speed_is_tokens_by_seconds_of_training(run: Path) -> None:
    metrics = metrics_of(run)
    tokens = sum(len(sentence.words) for sentence in marked(TRAIN))
    seconds = sum(entry["seconds"] for entry in metrics["history"])
    assert metrics["train_tokens_per_second"] == pytest.approx(tokens * metrics["epochs"] / seconds)
    assert seconds < metrics["train_seconds"]
    for entry in metrics["history"]:
        assert entry["tokens_per_second"] == pytest.approx(tokens / entry["seconds"])


def test_the_history_has_the_rate_each_epoch_was_trained_with(run: Path) -> None:
    for done, entry in enumerate(metrics_of(run)["history"]):
        assert entry["epoch"] == done + 1
        assert entry["learning_rate"] == pytest.approx(0.03 / (1 + 0.05 * done))


def test_a_run_trained_on_relative_paths_is_evaluated_from_anywhere(
    small: list[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)
    files = [f"data.{name}={name}.conll" for name in ("train", "dev", "test")]
    metrics = trained(tmp_path / "run", *small, *files, "trainer.max_epochs=1")
    monkeypatch.chdir(tmp_path)
    assert evaluate("run")["test"].scores == metrics["test"]


@pytest.mark.parametrize(("split", "text"), [("dev", DEV), ("test", TEST)])
def test_predictions_stand_beside_the_gold_tags_in_the_order_of_the_file(run: Path, split: str, text: str) -> None:
    rows = read_columns(run / "predictions" / f"{split}.conll")
    assert [[row[0] for row in sentence] for sentence in rows] == [sentence.words for sentence in marked(text)]
    assert [[row[1] for row in sentence] for sentence in rows] == [sentence.tags("IOB2") for sentence in marked(text)]
    letters = {row[2][0] for sentence in rows for row in sentence}
    assert letters <= set("BIO")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_conlleval_finds_the_reported_f1_in_the_prediction_file(run: Path, split: str) -> None:
    f1 = conlleval_f1(read_columns(run / "predictions" / f"{split}.conll"))
    assert 0 < f1 < 100
    assert metrics_of(run)[split]["f1"] == pytest.approx(f1, abs=1e-6)


def test_the_best_epoch_has_the_highest_dev_f1_and_is_the_one_kept(run: Path) -> None:
    metrics = metrics_of(run)
    scores = [entry["dev"]["f1"] for entry in metrics["history"]]
    assert len(set(scores)) > 3
    assert metrics["best_epoch"] == scores.index(max(scores)) + 1
    assert RunFolder(run).read_checkpoint()["epoch"] + 1 == metrics["best_epoch"]
    assert metrics["dev"]["f1"] == pytest.approx(max(scores), rel=1e-6)


def test_of_equal_epochs_the_first_is_kept_and_patience_counts_from_it(small: list[str], tmp_path: Path) -> None:
    metrics = trained(tmp_path, *small, "optimizer.lr=1e-12", "trainer.max_epochs=8", "early_stopping.patience=2")
    assert len({entry["dev"]["f1"] for entry in metrics["history"]}) == 1
    assert metrics["best_epoch"] == 1
    assert RunFolder(tmp_path).read_checkpoint()["epoch"] == 0
    assert metrics["epochs"] == 3, "the first epoch and two without a better one"


def test_without_patience_all_epochs_are_trained(small: list[str], tmp_path: Path) -> None:
    metrics = trained(tmp_path, *small, "optimizer.lr=1e-12", "trainer.max_epochs=4", "early_stopping.patience=null")
    assert metrics["epochs"] == 4


def test_the_checkpoint_is_plain_data(run: Path) -> None:
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert set(checkpoint["hyper_parameters"]) == {"config", "vocabs", "labels"}
    assert checkpoint["hyper_parameters"]["config"]["encoder"]["hidden_dim"] == 12
    assert all(isinstance(value, torch.Tensor) for value in checkpoint["state_dict"].values())


def test_a_finished_run_is_not_written_over(run: Path, able: list[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with pytest.raises(UserError, match="holds a finished run"):
        trained(run, *able)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_run_that_failed_says_why_and_may_be_started_again_in_its_folder(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError):
        trained(tmp_path, *small, "data.train=nowhere")
    assert not list(tmp_path.iterdir()), "a run that is refused leaves nothing"
    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_epoch_end", lambda *_: {}["a bug"])
        with pytest.raises(KeyError):
            trained(tmp_path, *small, "trainer.max_epochs=1")
    assert json.loads((tmp_path / "failure.json").read_text())["reason"] == "KeyError: 'a bug'"
    assert not (tmp_path / "metrics.json").exists()
    assert trained(tmp_path, *small, "trainer.max_epochs=1")["epochs"] == 1
    assert not (tmp_path / "failure.json").exists()


def test_an_interrupted_run_keeps_its_best_epoch_and_is_not_finished(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_epoch = EpochLog.on_train_epoch_end

    def interrupt(self: EpochLog, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt
        finish_epoch(self, trainer, module)

    monkeypatch.setattr(EpochLog, "on_train_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, *small, "trainer.max_epochs=5")
    assert not (tmp_path / "metrics.json").exists()
    assert load(tmp_path).predict([["Oslo", "rained"]])


def test_diverging_training_ends_with_advice_and_leaves_a_failed_run(
    small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    diverging = ["max_loss=1e-3", "seed=3"]
    outcome = cli("train", *small, *diverging, f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 2
    metrics = metrics_of(tmp_path / "run")
    said = r"diverged in epoch 1 at batch \d \(sentences .* learning rate .* gradient norm .*optimizer\.lr"
    assert re.search(said, metrics["failure"])
    assert f"error: {metrics['failure']}" in outcome.err
    assert (metrics["status"], metrics["seed"], metrics["epochs"], metrics["history"]) == ("failed", 3, 0, [])
    assert not metrics.keys() & {"dev", "test", "best_epoch"}
    again = trained(tmp_path / "run", *small, "trainer.max_epochs=1")
    assert again["status"] == "ok"
    assert metrics_of(tmp_path / "run" / "attempts" / "1")["failure"] == metrics["failure"]


@pytest.mark.parametrize("train_on", ["[train]", "[train,dev]"])
def test_what_a_run_had_before_it_diverged_is_kept(
    train_on: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TaggerModule.training_step

    def diverge(self: TaggerModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 2:
            self.tagger.requires_grad_(True)
            for weight in self.tagger.decoder.parameters():
                weight.data.fill_(float("nan"))
        return step(self, batch, batch_idx)

    usual = trained(tmp_path / "usual", *small, *to_the_end(train_on, 2))
    monkeypatch.setattr(TaggerModule, "training_step", diverge)
    with pytest.raises(Diverged, match=r"in epoch 3 at batch 1 .* its loss of nan"):
        trained(tmp_path / "run", *small, *to_the_end(train_on, 5))
    metrics = metrics_of(tmp_path / "run")
    assert (metrics["status"], metrics["epochs"]) == ("failed", 2)
    assert without_times(metrics["history"]) == without_times(usual["history"])
    assert same_weights(tmp_path / "run", tmp_path / "usual")


def test_a_run_below_the_stated_f1_is_marked_failed_and_keeps_its_scores(
    small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    once = [*small, "trainer.max_epochs=1", "optimizer.lr=1e-12"]
    outcome = cli("train", *once, "min_dev_score=95", f"hydra.run.dir={tmp_path / 'failed'}")
    assert outcome.code == 0, outcome.said
    metrics = metrics_of(tmp_path / "failed")
    assert metrics["dev"]["f1"] < 95
    reason = f"dev F1 {metrics['dev']['f1']:.2f} is below min_dev_score=95"
    assert (metrics["status"], metrics["failure"]) == ("failed", reason)
    assert f"this run is marked failed: {reason}" in outcome.err
    scored = evaluate(tmp_path / "failed")
    assert {name: split.scores for name, split in scored.items()} == {name: metrics[name] for name in ("dev", "test")}
    well = trained(tmp_path / "well", *once, f"min_dev_score={metrics['dev']['f1']}")
    assert (well["status"], well["failure"]) == ("ok", None), "as good as it asks for is good enough"


@pytest.mark.parametrize("limit", ["-1", "101", "high", "True"])
def test_the_least_f1_is_a_number_in_per_cent(limit: str, small: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^min_dev_score must be a dev F1 in per cent, from 0 to 100, or null; got"):
        trained(tmp_path, *small, f"min_dev_score={limit}")


def test_where_dev_is_trained_on_the_last_epoch_is_kept_and_all_say_so(
    small: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ner_lab"):
        metrics = trained(tmp_path, *small, *to_the_end("[train,dev]", 3), "optimizer.lr=1e-12")
    assert metrics["train_on"] == ["train", "dev"]
    assert len({entry["dev"]["f1"] for entry in metrics["history"]}) == 1, "the first would be kept as the best"
    assert metrics["best_epoch"] == metrics["epochs"] == 3
    assert RunFolder(tmp_path).read_checkpoint()["epoch"] == 2
    assert metrics["dev"]["sentences"] == len(marked(DEV))
    lines = [message for message in caplog.messages if message.startswith("epoch ")]
    assert len(lines) == 3
    assert all("dev (trained on) P" in line and "*" not in line for line in lines)
    (closing,) = [message for message in caplog.messages if "last epoch 3 of 3" in message]
    assert re.findall(r"^  (dev.*?|test)  +precision", closing, re.MULTILINE) == ["dev (trained on)", "test"]
    assert any("trained on train and dev" in message for message in caplog.messages)


def test_where_dev_is_trained_on_the_last_epoch_is_kept_scored_or_not(small: list[str], tmp_path: Path) -> None:
    metrics = trained(tmp_path, *small, *to_the_end("[train,dev]", 3), "trainer.check_val_every_n_epoch=2")
    assert [entry["epoch"] for entry in metrics["history"]] == [2]
    assert metrics["best_epoch"] == 3
    assert RunFolder(tmp_path).read_checkpoint()["epoch"] == 2


def test_training_on_train_and_dev_is_training_on_one_file_with_both(small: list[str], tmp_path: Path) -> None:
    joined = write_corpus(tmp_path / "both.conll", marked(TRAIN + DEV))
    both = trained(tmp_path / "both", *small, *to_the_end("[train,dev]", 2))
    one = trained(tmp_path / "one", *small, *to_the_end("[train]", 2), f"data.train={joined}")
    assert without_times(both["history"]) == without_times(one["history"])
    assert both["parameters"] == one["parameters"]


def test_nothing_may_be_stopped_by_data_that_is_trained_on(small: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"early_stopping\.patience=null and a fixed trainer\.max_epochs=N"):
        trained(tmp_path, *small, "data.train_on=[train,dev]", "early_stopping.patience=3")


def test_the_dev_loss_is_a_tokens_mean_over_the_sentences_that_have_a_likelihood(
    small: list[str], tmp_path: Path
) -> None:
    new_type = marked("[MISC Norwegian] boats left .\nIt said no .\n[LOC Oslo]")
    dev = write_corpus(tmp_path / "dev.conll", [*marked(DEV), *new_type])
    (entry,) = trained(tmp_path / "run", *small, f"data.dev={dev}", "trainer.max_epochs=1")["history"]
    tagger = load(tmp_path / "run")
    losses, tokens = 0.0, 0
    for sentence in [*marked(DEV), *new_type[1:]]:
        row = Sentence(sentence.words, sentence.tags())
        split, _ = encode([row], tagger.vocabs, tagger.options, tagger.features)
        (batch,) = eval_batches(split, 100)
        with torch.inference_mode():
            losses += float(tagger.tagger.losses(batch))
        tokens += len(sentence.words)
    assert entry["dev_loss"] == pytest.approx(losses / tokens, rel=1e-5)


def test_where_no_sentence_has_a_likelihood_there_is_no_dev_loss(small: list[str], tmp_path: Path) -> None:
    dev = write_corpus(tmp_path / "dev.conll", marked("[MISC Norwegian] boats left ."))
    (entry,) = trained(tmp_path / "run", *small, f"data.dev={dev}", "trainer.max_epochs=1")["history"]
    assert entry["dev_loss"] is None


def test_training_may_end_by_dev_loss_and_accuracy_while_the_best_f1_is_kept(small: list[str], tmp_path: Path) -> None:
    rule = ("early_stopping.rule=loss_and_accuracy", "early_stopping.patience=2")
    metrics = trained(tmp_path, *small, *rule, "optimizer.lr=0.05", "trainer.max_epochs=40")
    history = metrics["history"]
    bad = [
        any(earlier["dev_loss"] <= entry["dev_loss"] for earlier in history[:number])
        and any(earlier["dev"]["accuracy"] >= entry["dev"]["accuracy"] for earlier in history[:number])
        for number, entry in enumerate(history)
    ]
    assert len(history) < 40
    assert [number for number in range(1, len(bad)) if bad[number - 1] and bad[number]] == [len(bad) - 1]
    scores = [entry["dev"]["f1"] for entry in history]
    assert metrics["best_epoch"] == scores.index(max(scores)) + 1


def test_with_vectors_of_a_file_scores_are_parted_by_what_is_known_of_the_words(
    small: list[str], tmp_path: Path
) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("".join(f"{word} 0.1 -0.2\n" for word in ("oslo", "ida", "jonas", "zoe", "in", ".")))
    settings = [setting for setting in small if not setting.startswith("word_embedding")]
    settings += ["word_embedding=file", f"word_embedding.path={vectors}", "word_embedding.min_coverage=0"]
    more = marked("[PER Zoe] met [PER Jonas] in [LOC IDA] .\n[ORG Zoe Holm] , [PER Ida Holm] and [PER Abel] left")
    test = write_corpus(tmp_path / "test.conll", more)
    metrics = trained(tmp_path / "run", *settings, f"data.test={test}", "trainer.max_epochs=2")
    gold = {name: row["gold"] for name, row in metrics["test"]["oov"].items()}
    assert gold == {"IV": 2, "OOTV": 1, "OOEV": 1, "OOBV": 2}  # Holm is in train, Zoe in the file, Abel in neither
    for split in ("dev", "test"):
        for kind in ("gold", "predicted", "correct"):
            assert sum(row[kind] for row in metrics[split]["oov"].values()) == metrics[split][kind]
    assert {name: split.scores for name, split in evaluate(tmp_path / "run").items()} == {
        name: metrics[name] for name in ("dev", "test")
    }
    other = write_corpus(tmp_path / "other.conll", marked("[PER Unheard] met [PER Ida]"))
    assert "oov" not in evaluate(tmp_path / "run", [f"data.test={other}"], ["test"])["test"].scores


def test_without_vectors_of_a_file_scores_are_not_parted(run: Path) -> None:
    assert "oov" not in metrics_of(run)["test"]


def test_a_run_leaves_nothing_but_what_it_promises(run: Path) -> None:
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    predictions = {"predictions/dev.conll", "predictions/test.conll"}
    assert files == {"config.yaml", "run.json", "metrics.json", "checkpoints/best.ckpt", ".lock"} | predictions


def test_dev_may_be_scored_every_few_epochs(small: list[str], tmp_path: Path) -> None:
    metrics = trained(tmp_path, *small, "trainer.check_val_every_n_epoch=2", "trainer.max_epochs=5")
    assert [entry["epoch"] for entry in metrics["history"]] == [2, 4]
    assert metrics["best_epoch"] in (2, 4)


def test_an_epoch_cut_off_by_max_steps_is_not_scored(small: list[str], tmp_path: Path) -> None:
    metrics = trained(tmp_path, *small, "trainer.max_steps=5", "trainer.max_epochs=9")  # three steps an epoch
    assert [entry["epoch"] for entry in metrics["history"]] == [1]


@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
def test_training_without_a_whole_epoch_is_refused(small: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no epoch was trained to its end"):
        trained(tmp_path, *small, "trainer.max_steps=1")


def test_a_file_with_tabs_and_two_columns_trains(small: list[str], tmp_path: Path) -> None:
    file = write_corpus(tmp_path / "train.tsv", marked(TRAIN), separator="\t", scheme="IOB2")
    files = [f"data.{name}={file}" for name in ("train", "dev", "test")]
    metrics = trained(tmp_path / "run", *small, *files, "trainer.max_epochs=1")
    assert metrics["test"]["gold"] == sum(len(sentence.spans) for sentence in marked(TRAIN))
    assert metrics["test"]["tokens"] == sum(len(sentence.words) for sentence in marked(TRAIN))


def test_a_file_with_four_columns_and_no_letter_but_i_trains(small: list[str], tmp_path: Path) -> None:
    columns = ("word", "pos", "chunk", "tag")
    apart = [sentence for sentence in marked(TRAIN) if "Norway" not in sentence.words]
    file = write_corpus(tmp_path / "train.conll", apart, columns=columns, scheme="IO")
    files = [f"data.{name}={file}" for name in ("train", "dev", "test")]
    metrics = trained(tmp_path / "run", *small, *files, "trainer.max_epochs=1")
    assert metrics["test"]["gold"] == sum(len(sentence.spans) for sentence in apart)
    rows = read_columns(tmp_path / "run" / "predictions" / "test.conll")
    assert [[row[1] for row in sentence] for sentence in rows] == [sentence.tags("IOB2") for sentence in apart]


def test_without_a_dev_file_a_share_of_train_is_held_out(small: list[str], corpus: Path, tmp_path: Path) -> None:
    metrics = trained(
        tmp_path, *small, "data.dev=null", "data.test=null", "data.dev_share=0.25", "trainer.max_epochs=1"
    )
    assert metrics["dev"]["sentences"] == 3
    assert "test" not in metrics
    assert not (tmp_path / "predictions" / "test.conll").exists()
    held_out = [[row[0] for row in rows] for rows in read_columns(tmp_path / "predictions" / "dev.conll")]
    assert all(words in [sentence.words for sentence in marked(TRAIN)] for words in held_out)


@pytest.mark.parametrize(("key", "value"), [("seed", -1), ("seed", None), ("threads", 0), ("threads", "many")])
def test_seed_and_threads_must_be_numbers_that_can_be(
    key: str, value: object, small: list[str], tmp_path: Path
) -> None:
    cfg = compose_config(small)
    cfg[key] = value
    with pytest.raises(UserError, match=rf"{key} (is .*\. It must|must) be a whole number"):
        train(cfg, tmp_path)


def test_an_epoch_that_was_not_scored_marks_the_run_failed_and_loses_nothing(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = EpochLog.on_validation_start

    def skipped(self: EpochLog, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch != 1:
            usual(self, trainer, pl_module)

    monkeypatch.setattr(EpochLog, "on_validation_start", skipped)
    with pytest.raises(RuntimeError, match=r"dev was not scored after epoch 2: .* marked failed; all its results"):
        trained(tmp_path, *small, "trainer.max_epochs=3")
    metrics = metrics_of(tmp_path)
    assert metrics["status"] == "failed"
    assert "after epoch 2" in metrics["failure"]
    assert [entry["epoch"] for entry in metrics["history"]] == [1, 3]
    assert metrics["test"]["gold"] > 0


def test_epochs_that_a_setting_leaves_unscored_are_no_failure(small: list[str], tmp_path: Path) -> None:
    every_second = trained(tmp_path / "a", *small, "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2")
    cut_short = trained(tmp_path / "b", *small, "trainer.max_epochs=9", "trainer.max_steps=5")
    for metrics, scored in ((every_second, [2]), (cut_short, [1])):
        assert metrics["status"] == "ok"
        assert [entry["epoch"] for entry in metrics["history"]] == scored


class Batches:
    """A loader of these batches."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


@pytest.mark.parametrize("loss", ["sum", "sentence_mean", "token_mean"])
def test_accumulated_batches_move_the_weights_as_one_batch_of_their_sentences(
    loss: str, small: list[str], tmp_path: Path
) -> None:
    """With a last step of fewer batches: twelve sentences, in steps of eight and four."""
    usual = [*small, *NO_DROPOUT, "trainer.precision=64-true", "optimizer=sgd", "optimizer.momentum=0"]
    cfg = compose_config([*usual, f"optimizer.loss={loss}", "optimizer.lr=0.01", "optimizer.clip=norm"])
    prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))
    maker = BatchMaker(prepared.splits["train"])

    def weights_after(batches: list[range], accumulated: int) -> dict[str, torch.Tensor]:
        module = untrained_module(cfg, prepared)
        items = [(np.array(one), len(one), int(maker.lengths[list(one)].sum()), True) for one in batches]
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            precision="64-true",
            accumulate_grad_batches=accumulated,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, Batches([maker[item] for item in items]))
        return module.tagger.state_dict()

    at_once = weights_after([range(8), range(8, 12)], 1)
    accumulated = weights_after([range(2), range(2, 5), range(5, 6), range(6, 8), range(8, 11), range(11, 12)], 4)
    for name, weight in at_once.items():
        torch.testing.assert_close(accumulated[name], weight, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("dev", "reason"),
    [("It rained O\n", "dev has no entity"), ("Oslo S-CITY\n", r"dev has only entity types that train lacks \(CITY\)")],
)
def test_a_dev_set_that_cannot_choose_an_epoch_is_reported_and_the_last_epoch_kept(
    dev: str, reason: str, small: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = dev.replace("It rained O", "It O\nrained O")
    (tmp_path / "dev.conll").write_text(words)
    given = [f"data.dev={tmp_path / 'dev.conll'}", "trainer.max_epochs=3", "early_stopping.patience=1"]
    metrics = trained(tmp_path / "run", *small, *given)
    assert (metrics["epochs"], metrics["best_epoch"]) == (3, 3)
    (said,) = [record.getMessage() for record in caplog.records if "cannot choose an epoch" in record.getMessage()]
    assert re.match(
        rf"{reason}, so .* the last epoch is kept, and early stopping is off\. Give another data\.dev", said
    )
    assert RunFolder(tmp_path / "run").read_checkpoint()["epoch"] == 2


@pytest.mark.parametrize(("predicted", "warned"), [(0, True), (1, False)])
def test_a_run_that_predicts_no_entity_says_so_and_what_may_help(
    predicted: int, warned: bool, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    score_kept = scored_splits

    def scored(*arguments: Any) -> dict[str, Any]:
        splits = score_kept(*arguments)
        splits["dev"]["predicted"] = predicted
        return splits

    monkeypatch.setattr("ner_lab.training.train.score_kept", scored)
    trained(tmp_path, *small, "trainer.max_epochs=1")
    said = [record.getMessage() for record in caplog.records if "no entity was predicted on dev" in record.getMessage()]
    assert len(said) == warned
    assert all("early_stopping.patience=null" in one for one in said)
