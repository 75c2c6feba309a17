"""The folder of a run: what is written at its start, and how it is read again."""

import fcntl
import json
import pickle
import platform
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

import ner_lab
from ner_lab.config.compose import compose_config
from ner_lab.config.paths import absolute_paths
from ner_lab.errors import UserError
from ner_lab.inference.trained_tagger import load
from ner_lab.runs import folder as folder_module
from ner_lab.runs import provenance
from ner_lab.runs.folder import RunFolder

PACKAGE = Path(ner_lab.__file__).parent / "cli"


def test_the_config_is_kept_whole_with_nothing_left_to_resolve(run: Path, able: list[str], corpus: Path) -> None:
    text = (run / "config.yaml").read_text(encoding="utf-8")
    assert "${" not in text
    kept = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    assert kept == OmegaConf.to_container(compose_config(able), resolve=True)
    assert kept["data"]["train"] == str(corpus / "train.conll")
    assert kept["optimizer"]["lr"] == 0.03


def test_the_record_says_what_a_run_was_made_with(run: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["versions"]["ner-lab"] == ner_lab.__version__
    assert record["versions"]["python"] == platform.python_version()
    for package in ("torch", "pytorch-lightning", "hydra-core", "torchmetrics", "seqeval", "wandb"):
        assert record["versions"][package] == version(package)
    assert record["machine"]["threads"] == 1
    assert record["command"]


@pytest.mark.parametrize(
    ("typed", "given", "recorded"),
    [
        (
            "python /opt/bin/ner-lab sweep letters",
            ["/opt/bin/ner-lab sweep", "-m", "x"],
            "ner-lab sweep letters",
        ),
        ("python -X dev ner-lab train seed=2", ["ner-lab train", "seed=2"], "ner-lab train seed=2"),
        ("python -m ner_lab.cli.train seed=2", [f"{PACKAGE}/train.py", "seed=2"], "python -m ner_lab.cli.train seed=2"),
        ("python -m ner_lab.cli.main train", [f"{PACKAGE}/main.py train"], "python -m ner_lab.cli.main train"),
        ("python -m worker --pipe 12", ["/opt/bin/ner-lab train", "-m", "seed=1,2"], "ner-lab train -m seed=1,2"),
        ("python mine.py", ["mine.py"], "mine.py"),
    ],
)
def test_the_command_on_record_can_be_given_to_a_shell_again(
    typed: str, given: list[str], recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", typed.split())
    monkeypatch.setattr(sys, "argv", given)
    assert provenance.command_line() == recorded.split()


def test_the_record_holds_the_commit_of_a_checkout(run: Path) -> None:
    here = Path(ner_lab.__file__).parent
    command = ["git", "-C", str(here), "ls-files", "--error-unmatch", "version.py"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("not a checkout")
    commit = json.loads((run / "run.json").read_text(encoding="utf-8"))["git"]
    assert set(commit) == {"commit", "changed"}
    kind = subprocess.run(["git", "-C", str(here), "cat-file", "-t", commit["commit"]], capture_output=True, check=True)
    assert kind.stdout.strip() == b"commit"


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert provenance._git() is None


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance._git() is None


def test_paths_become_absolute_and_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/somebody")
    cfg = compose_config(["data=files", "word_embedding=senna"])
    cfg.data.train, cfg.data.dev, cfg.data.cache_dir = "a/train", "~/dev", "/cache"
    cfg.word_embedding.words = "words.lst"
    absolute_paths(cfg)
    assert (cfg.data.train, cfg.data.dev, cfg.data.test) == (f"{tmp_path}/a/train", "/somebody/dev", None)
    assert cfg.data.cache_dir == "/cache"
    assert (cfg.word_embedding.path, cfg.word_embedding.words) == (None, f"{tmp_path}/words.lst")


def test_paths_of_lexicons_become_absolute_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = "+features.parts.lexicons.lexicons.mine.entries={PER: [a.txt, /b.txt], LOC: c.txt}"
    cfg = compose_config(["features=caps_lexicons", "features.parts.lexicons.lexicons.senna.dir=lists", mine])
    absolute_paths(cfg)
    lexicons = cfg.features.parts.lexicons.lexicons
    assert lexicons.senna.dir == f"{tmp_path}/lists"
    assert lexicons.senna.entries.PER == ["ner.per.lst"], "names within the folder"
    assert lexicons.mine.entries == {"PER": [f"{tmp_path}/a.txt", "/b.txt"], "LOC": [f"{tmp_path}/c.txt"]}
    fetched = compose_config(["features=gazetteer"])
    absolute_paths(fetched)
    assert fetched.features.dir is None
    assert fetched.features.entries.PER == ["ner.per.lst"], "names within the archive"


def test_paths_not_given_yet_are_left_alone() -> None:
    cfg = compose_config(["data=files", "word_embedding=file"])
    absolute_paths(cfg)
    assert OmegaConf.is_missing(cfg.word_embedding, "path")


def test_a_folder_that_is_no_run_is_refused_with_what_it_lacks(tmp_path: Path, run: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"config\.yaml is missing"):
        load(tmp_path)
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    with pytest.raises(UserError, match=r"checkpoints/best\.ckpt is missing"):
        load(tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    folder.checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"best\.ckpt: not a checkpoint, or truncated or damaged"):
        folder.read_checkpoint()


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_reading_a_checkpoint_runs_no_code_of_it(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap works"
    sprung.unlink()
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    torch.save({"state_dict": {}, "hyper_parameters": Trap(sprung)}, folder.checkpoint)
    with pytest.raises(UserError, match="not a checkpoint, or unreadable"):
        folder.read_weights()
    assert not sprung.exists()


def begin(folder: RunFolder, cfg: DictConfig, **record: Any) -> None:
    """What a training does, its checks left out."""
    folder.start(cfg, **record, resumes=folder.hold(cfg) is not None)


def test_only_a_folder_with_metrics_is_finished(tmp_path: Path) -> None:
    cfg = DictConfig({"seed": 1})
    folder = RunFolder(tmp_path / "deep" / "run")
    begin(folder, cfg)
    begin(folder, cfg)
    assert not folder.is_finished()
    assert folder.write_metrics({"seed": 1}) == tmp_path / "deep" / "run" / "metrics.json"
    with pytest.raises(UserError, match=r"finished run.*hydra\.run\.dir"):
        begin(folder, cfg)


def test_a_run_refused_after_its_folder_was_held_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    folder = RunFolder(tmp_path / "mine" / "deep" / "run")
    folder.hold(DictConfig({"seed": 1}))
    assert folder.is_held()
    folder.release()
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
    folder.path.mkdir(parents=True)
    (folder.path / "notes.txt").touch()
    folder.hold(DictConfig({"seed": 1}))
    folder.release()
    assert [file.name for file in folder.path.iterdir()] == ["notes.txt"]


def test_numbers_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_metrics({"seed": 1})
    with pytest.raises(TypeError):
        folder.write_metrics({"seed": object()})
    assert json.loads(folder.metrics.read_text()) == {"seed": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


# who has the folder


def test_a_folder_that_another_process_trains_in_is_refused_until_that_ends_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_PAUSE", 0)
    cfg, here = DictConfig({"seed": 1}), RunFolder(tmp_path)
    code = "import sys; from ner_lab.runs.folder import RunFolder as R; r = R(sys.argv[1]); r._hold(); print(); input()"
    command = [sys.executable, "-uc", code, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert here.is_held()
        with pytest.raises(UserError, match=r"another process trains in this folder.*hydra\.run\.dir"):
            begin(here, cfg)
        assert not here.config.exists()
        other.kill()
    assert not here.is_held()
    begin(here, cfg)
    assert RunFolder(tmp_path).is_held()
    here.release()
    assert not here.is_held()


def test_looking_whether_a_folder_is_held_keeps_nobody_from_holding_it(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        looked = threading.Timer(0.2, fcntl.flock, (lock, fcntl.LOCK_UN))
        looked.start()
        folder = RunFolder(tmp_path)
        begin(folder, DictConfig({"seed": 1}))
        looked.join()
    folder.release()


def test_a_run_that_another_process_finished_meanwhile_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    monkeypatch.setattr(folder, "_hold", lambda: folder.write_metrics({"status": "ok"}))
    with pytest.raises(UserError, match="finished run"):
        begin(folder, DictConfig({"seed": 1}))
    assert folder.metrics.exists()
    assert not folder.attempts.exists()


def test_a_finished_run_says_no_more_of_its_progress(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    begin(folder, DictConfig({"seed": 1}))
    folder.progress.write_text("{}")
    folder.release()
    assert folder.progress.exists(), "where a run was cut off, it tells how far it was"
    begin(folder, DictConfig({"seed": 1}))
    folder.progress.write_text("{}")
    folder.write_metrics({"status": "ok"})
    folder.release()
    assert not folder.progress.exists()


# attempts


def test_what_an_earlier_attempt_left_is_set_aside_whole_and_logs_stay(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.set_aside() is None
    assert not folder.attempts.exists()
    for attempt in ("1", "2", "3"):
        begin(folder, DictConfig({"seed": int(attempt)}))
        folder.checkpoints.mkdir()
        folder.checkpoint.write_text(attempt)
        folder.write_metrics({"status": "failed"})
        (tmp_path / "console.log").write_text(attempt)
        folder.release()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [".lock", "attempts", "checkpoints", "config.yaml", "console.log", "metrics.json", "run.json"]
    )
    assert folder.checkpoint.read_text() == "3"
    assert {path.name: (path / "checkpoints" / "best.ckpt").read_text() for path in folder.attempts.iterdir()} == {
        "1": "1",
        "2": "2",
    }
    assert OmegaConf.load(folder.attempts / "1" / "config.yaml").seed == 1


def test_attempts_are_numbered_on_behind_those_there_are(tmp_path: Path) -> None:
    for name in ("7", "10", "notes"):
        (tmp_path / "attempts" / name).mkdir(parents=True)
    folder = RunFolder(tmp_path)
    folder.write_metrics({})
    assert folder.set_aside() == tmp_path / "attempts" / "11"


# the code


def test_the_sum_of_the_code_changes_with_any_file_of_it_and_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    sums = []
    for change in (
        lambda: (tmp_path / "a.py").write_text("x"),
        lambda: (tmp_path / "a.py").write_text("y"),
        lambda: (tmp_path / "a.py").rename(tmp_path / "b.py"),
        lambda: (tmp_path / "deep").mkdir() or (tmp_path / "deep" / "c.py").touch(),
    ):
        change()
        sums.append(provenance.code_sum.__wrapped__())
    assert len(set(sums)) == 4
    (tmp_path / "notes.txt").write_text("no code")
    assert provenance.code_sum.__wrapped__() == sums[-1]


def test_the_record_says_what_was_chosen_and_of_which_code(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    begin(folder, DictConfig({"seed": 1}), choices={"decoder": "crf"}, overrides=["decoder=crf", "seed=1"])
    record = folder.read_record()
    assert (record["choices"], record["overrides"]) == ({"decoder": "crf"}, ["decoder=crf", "seed=1"])
    assert record["code"] == provenance.code_sum()
    folder.release()
