"""A training that was killed or stopped and is resumed ends bit-identical to an uninterrupted one."""

import functools
import json
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from finished import without_times
from omegaconf import DictConfig, OmegaConf

from ner_lab.cli.rerun import resume
from ner_lab.config.compose import compose_config
from ner_lab.errors import Interrupted, UserError
from ner_lab.runs import provenance
from ner_lab.runs.folder import RunFolder
from ner_lab.training import train as training
from ner_lab.training.callbacks.history import EpochLog
from ner_lab.training.callbacks.resume import ResumeCallback
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import train

EPOCHS, STEPS = 3, 3  # of the small corpus in batches of 4
KINDS = {
    "adam": ["optimizer=adam"],
    "momentum": ["optimizer=sgd", "optimizer.momentum=0.9", "optimizer.decay=0.05", "data.singleton_unk=0.5"],
    "weight decay": ["optimizer=sgd", "optimizer.momentum=0.5", "optimizer.weight_decay=0.01", "threads=2"],
    "pairwise": ["optimizer=sgd_lample", "decoder=crf_pairwise", "char_encoder=bilstm", "char_encoder.hidden_dim=4"],
    "last epoch": ["data.train_on=[train,dev]", "early_stopping.patience=null"],
    "any order": [
        *("data.batch_tokens=20", "data.group_by_length=false", "trainer.accumulate_grad_batches=2"),
        *("optimizer=sgd", "optimizer.momentum=0.5", "optimizer.loss=token_mean"),
    ],
    "max steps": [
        *("trainer.max_steps=7", "trainer.check_val_every_n_epoch=2", "early_stopping.patience=null"),
        *("optimizer=sgd", "optimizer.momentum=0.9"),
    ],
    "early stop": ["early_stopping.patience=1", "optimizer.lr=0.0001"],
}


def settings(small: list[str], kind: str) -> list[str]:
    without = [item for item in small if kind != "pairwise" or not item.startswith("char_encoder.")]
    return [*without, f"trainer.max_epochs={EPOCHS}", *KINDS[kind]]


@functools.cache
def composed(*overrides: str) -> DictConfig:
    return compose_config(overrides)


def config(overrides: list[str]) -> DictConfig:
    return OmegaConf.create(composed(*overrides))


def left_by(folder: Path) -> dict[str, Any]:
    """All that a finished run leaves, without times."""
    checkpoint = RunFolder(folder).read_checkpoint()
    return {
        "metrics": without_times(json.loads((folder / "metrics.json").read_text())),
        "weights": {name: value.numpy().tobytes() for name, value in checkpoint["state_dict"].items()},
        "place": (checkpoint["epoch"], checkpoint["global_step"]),
        **{name: (folder / "predictions" / f"{name}.conll").read_bytes() for name in ("dev", "test")},
    }


@pytest.fixture(scope="module")
def never_stopped(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}

    def of(kind: str) -> dict[str, Any]:
        if kind not in known:
            folder = tmp_path_factory.mktemp("whole")
            train(config(settings(small, kind)), folder)
            known[kind] = left_by(folder)
        return known[kind]

    return of


def in_a_process(overrides: list[str], folder: Path, prepare: Callable[[], None]) -> tuple[int | None, int]:
    """Train in a process of its own; its exit code, negative for a signal, and the last epoch it began, from 1."""
    context = multiprocessing.get_context("fork")
    begun = context.Value("i", 0)

    def work() -> None:
        usual = TaggerModule.training_step

        def noted(self: TaggerModule, batch: Any, batch_idx: int) -> torch.Tensor:
            begun.value = self.current_epoch + 1
            return usual(self, batch, batch_idx)

        TaggerModule.training_step = noted  # type: ignore[method-assign]
        prepare()
        train(config(overrides), folder)

    process = context.Process(target=work)
    process.start()
    process.join(120)
    return process.exitcode, begun.value


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Epoch and batch of each step taken in this process, from 0."""
    usual = TaggerModule.training_step
    taken: list[tuple[int, int]] = []

    def noted(self: TaggerModule, batch: Any, batch_idx: int) -> torch.Tensor:
        taken.append((self.current_epoch, batch_idx))
        return usual(self, batch, batch_idx)

    monkeypatch.setattr(TaggerModule, "training_step", noted)
    return taken


def kill_at(owner: Any, name: str, number: int, *, after: bool = False) -> Callable[[], None]:
    """Kill the process at the so many-th call of a function, from 1: before it does anything, or after it."""

    def prepare() -> None:
        usual, calls = getattr(owner, name), [0]

        def deadly(*arguments: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = usual(*arguments, **named)
            if calls[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, deadly)

    return prepare


def random_moment(seed: int) -> tuple[Any, str, int, bool]:
    """Where in a training: in a step, while dev is scored, between epochs, in the midst of writing."""
    draw = random.Random(seed)
    places: list[tuple[Any, str, int]] = [
        (TaggerModule, "training_step", EPOCHS * STEPS),
        (TaggerModule, "validation_step", EPOCHS),
        (EpochLog, "on_train_epoch_end", EPOCHS),
        (ResumeCallback, "on_train_epoch_start", EPOCHS),
        (os, "replace", 6 * EPOCHS),
        (os, "fsync", 6 * EPOCHS),
    ]
    owner, name, calls = draw.choice(places)
    return owner, name, draw.randint(1, calls), draw.random() < 0.5


@pytest.mark.parametrize(
    "seed", [*range(len(KINDS)), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(len(KINDS), 200))]
)
def test_a_run_killed_at_a_random_point_ends_as_one_never_killed(
    seed: int,
    small: list[str],
    never_stopped: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    steps: list[tuple[int, int]],
) -> None:
    kind = list(KINDS)[seed % len(KINDS)]
    expected = never_stopped(kind)
    steps.clear()
    overrides = settings(small, kind)
    owner, name, number, after = random_moment(seed)
    code, begun = in_a_process(overrides, tmp_path, kill_at(owner, name, number, after=after))
    finished = RunFolder(tmp_path).is_finished()
    assert (code == 0 and finished) or code == -signal.SIGKILL
    if not finished:
        train(config(overrides), tmp_path)
    assert left_by(tmp_path) == expected
    assert not steps or steps[0] in {(max(begun - 1, 0), 0), (begun, 0)}, "at most one epoch is repeated"
    assert not list(tmp_path.rglob("*.draft*"))[1:], "at most what was being written when it was killed"


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (training, "load"),  # after the last epoch
        (training, "score_kept"),
        (RunFolder, "write_metrics"),
        (RunFolder, "drop_state"),
    ],
)
def test_a_run_killed_while_results_are_written_needs_no_more_training(
    owner: Any, name: str, small: list[str], never_stopped: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    overrides = settings(small, "adam")
    assert in_a_process(overrides, tmp_path, kill_at(owner, name, 1))[0] == -signal.SIGKILL
    if RunFolder(tmp_path).is_finished():
        assert name == "drop_state"
    else:
        train(config(overrides), tmp_path)
    assert left_by(tmp_path) == never_stopped("adam")


def test_a_run_may_be_killed_again_and_again(
    small: list[str], never_stopped: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    overrides = settings(small, "momentum")
    for number in (2, 5):
        code, _ = in_a_process(overrides, tmp_path, kill_at(TaggerModule, "training_step", number))
        assert code == -signal.SIGKILL
    train(config(overrides), tmp_path)
    assert left_by(tmp_path) == never_stopped("momentum")
    assert len(RunFolder(tmp_path).read_record()["resumed"]) == 2


@pytest.mark.parametrize(
    ("sign", "epoch", "batch", "kept", "resumes_at"),
    [
        (signal.SIGUSR1, 0, 1, "before the first step", 0),
        (signal.SIGTERM, 1, 0, "after epoch 1", 1),
        (signal.SIGINT, 1, STEPS - 1, "after epoch 2", 2),
        (signal.SIGUSR1, EPOCHS - 1, STEPS - 1, f"after epoch {EPOCHS}", EPOCHS),
    ],
)
def test_a_run_told_to_stop_finishes_the_step_and_resumes_at_the_start_of_an_epoch(
    sign: signal.Signals,
    epoch: int,
    batch: int,
    kept: str,
    resumes_at: int,
    small: list[str],
    never_stopped: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[int, int]],
) -> None:
    overrides = settings(small, "adam")
    expected = never_stopped("adam")
    steps.clear()
    usual = TaggerModule.training_step

    def signalled(self: TaggerModule, given: Any, batch_idx: int) -> torch.Tensor:
        if len(steps) == epoch * STEPS + batch:
            os.kill(os.getpid(), sign)
        return usual(self, given, batch_idx)

    before = signal.getsignal(sign)
    monkeypatch.setattr(TaggerModule, "training_step", signalled)
    with pytest.raises(
        Interrupted,
        match=rf"stopped by {sign.name}; the checkpoint {kept} is kept\.\nnext\n  ner-lab train --resume ",
    ):
        train(config(overrides), tmp_path)
    assert signal.getsignal(sign) == before
    assert len(steps) == epoch * STEPS + batch + 1, "the step under way is finished, and no other begun"
    steps.clear()
    monkeypatch.setattr(TaggerModule, "training_step", usual)
    train(config(overrides), tmp_path)
    assert steps == [(epoch, batch) for epoch in range(resumes_at, EPOCHS) for batch in range(STEPS)]
    assert left_by(tmp_path) == expected
    assert not list((tmp_path / "checkpoints").glob("state*"))


@pytest.mark.parametrize("stop_at", [0, 9])
def test_every_epoch_trains_each_sentence_once_and_is_scored_whatever_its_number_of_batches(
    stop_at: int, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """stop_at: the step at which the run is stopped, to be resumed; 0 for never."""
    overrides = [*settings(small, "any order"), "trainer.max_epochs=5"]
    usual, count = TaggerModule.training_step, 0
    seen: dict[int, list[list[int]]] = {}

    def watched(self: TaggerModule, batch: Any, batch_idx: int) -> torch.Tensor:
        nonlocal count
        count += 1
        if batch_idx == 0:
            seen[self.current_epoch] = []
        seen[self.current_epoch].append(batch.sentences.tolist())
        if count == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return usual(self, batch, batch_idx)

    monkeypatch.setattr(TaggerModule, "training_step", watched)
    if stop_at:
        with pytest.raises(Interrupted):
            train(config(overrides), tmp_path)
    metrics = train(config(overrides), tmp_path)
    assert [entry["epoch"] for entry in metrics["history"]] == [1, 2, 3, 4, 5]
    for batches in seen.values():
        assert sorted(sentence for batch in batches for sentence in batch) == list(range(12))
    assert len({len(batches) for batches in seen.values()}) > 1, "these epochs differ in batches"


def test_before_training_there_is_nothing_to_save_and_a_signal_ends_at_once(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "prepare", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        train(config(small), tmp_path)
    assert not RunFolder(tmp_path).is_held()


def test_a_second_signal_does_not_wait(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_conflicting_overrides(self: TaggerModule, given: Any, batch_idx: int) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one should have ended it")

    monkeypatch.setattr(TaggerModule, "training_step", find_conflicting_overrides)
    with pytest.raises(Interrupted):
        train(config(small), tmp_path)


def state_after(steps: int, overrides: list[str], folder: Path) -> None:
    code, _ = in_a_process(overrides, folder, kill_at(TaggerModule, "training_step", steps + 1))
    assert code == -signal.SIGKILL


def damaged(content: bytes, place: float) -> bytes:
    at = int(len(content) * place)
    return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"", lambda c: damaged(c, 0.5)])
def test_a_damaged_state_is_named_and_the_one_before_it_taken(
    damage: Callable[[bytes], bytes],
    small: list[str],
    never_stopped: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    overrides = settings(small, "adam")
    state_after(7, overrides, tmp_path)
    state = RunFolder(tmp_path).state
    state.write_bytes(damage(state.read_bytes()))
    train(config(overrides), tmp_path)
    assert any(str(state) in message and "cannot resume from this checkpoint" in message for message in caplog.messages)
    assert left_by(tmp_path) == never_stopped("adam")


@pytest.mark.parametrize("file", ["state", "checkpoint"])
def test_without_any_good_state_training_starts_again_and_the_old_attempt_is_kept(
    file: str, small: list[str], never_stopped: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    overrides = settings(small, "adam")
    state_after(7, overrides, tmp_path)
    run = RunFolder(tmp_path)
    for place in [run.state, run.state_before] if file == "state" else [run.checkpoint]:
        place.write_bytes(damaged(place.read_bytes(), 0.5))
    train(config(overrides), tmp_path)
    assert left_by(tmp_path) == never_stopped("adam")
    assert (run.attempts / "1" / "checkpoints").is_dir()


def test_another_config_does_not_resume_from_a_state(small: list[str], tmp_path: Path) -> None:
    overrides = settings(small, "adam")
    state_after(7, overrides, tmp_path)
    metrics = train(config([*overrides, "optimizer.lr=0.01"]), tmp_path)
    assert (tmp_path / "attempts" / "1" / "checkpoints" / "state.ckpt").exists()
    assert metrics["history"][0]["learning_rate"] == 0.01


def test_data_that_changed_meanwhile_are_refused(small: list[str], corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "train.conll"
    file.write_bytes((corpus / "train.conll").read_bytes())
    overrides = [*settings(small, "adam"), f"data.train={file}"]
    state_after(4, overrides, tmp_path / "run")
    file.write_bytes(file.read_bytes().replace(b"Oslo", b"Bergen"))
    with pytest.raises(UserError, match=r"train\.conll: it is not the file that training began with"):
        train(config(overrides), tmp_path / "run")
    assert RunFolder(tmp_path / "run").state.exists()


def test_a_lexicon_that_changed_meanwhile_is_refused(small: list[str], tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Oslo\nAnna Holm\n")
    overrides = [*settings(small, "adam"), "features=gazetteer", "features.url=null", "features.whole_only=false"]
    overrides += [f"features.entries.{kind}=[{names}]" for kind in ("LOC", "MISC", "ORG", "PER")]
    state_after(4, overrides, tmp_path / "run")
    names.write_text("Oslo\nAnna\n")
    with pytest.raises(UserError, match="a lexicon or the file of vectors was changed"):
        train(config(overrides), tmp_path / "run")
    names.write_text("Oslo\nAnna Holm\n")
    assert train(config(overrides), tmp_path / "run")["status"] == "ok"


def test_a_checkpoint_of_another_tagger_is_refused(small: list[str], tmp_path: Path) -> None:
    state_after(4, settings(small, "adam"), tmp_path)
    state = RunFolder(tmp_path).read_state()
    assert state is not None
    state["state_dict"].popitem()
    RunFolder(tmp_path).write_state(state)
    with pytest.raises(UserError, match="not one of this tagger"):
        resume(str(tmp_path))


def test_other_versions_are_named(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = settings(small, "adam")
    state_after(4, overrides, tmp_path)
    monkeypatch.setattr(training, "versions", lambda: {**provenance.versions(), "torch": "9.9"})
    train(config(overrides), tmp_path)
    assert any(f"torch 9.9 (then {torch.__version__.partition('+')[0]}" in message for message in caplog.messages)


def test_a_state_of_an_earlier_version_is_refused_with_the_next_step(small: list[str], tmp_path: Path) -> None:
    state_after(4, settings(small, "adam"), tmp_path)
    torch.save({"place": {"epochs": 1, "batches": 2}, "weights": {}}, RunFolder(tmp_path).state)
    with pytest.raises(UserError, match=r"state\.ckpt: an earlier version .* ner-lab train --from "):
        resume(str(tmp_path))


def test_curves_are_those_of_a_run_never_stopped(small: list[str], tmp_path: Path) -> None:
    overrides = [*settings(small, "adam"), "logger=csv"]
    train(config(overrides), tmp_path / "whole")
    state_after(7, overrides, tmp_path / "killed")
    train(config(overrides), tmp_path / "killed")

    def curves(folder: Path) -> Mapping[tuple[str, str], float]:
        header, *rows = (line.split(",") for line in (folder / "csv" / "metrics.csv").read_text().splitlines())
        cells = [dict(zip(header, row, strict=True)) for row in rows]
        return {
            (str(int(float(row["epoch"]))), name): float(value)
            for row in cells
            for name, value in row.items()
            if value and name not in ("epoch", "step", "train/tokens_per_second")
        }

    assert curves(tmp_path / "killed") == curves(tmp_path / "whole")


@pytest.mark.parametrize("setting", ["max_loss=0", "max_loss=-3"])
def test_settings_that_mean_nothing_are_refused(setting: str, small: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=setting.partition("=")[0]):
        train(config([*small, setting]), tmp_path)
