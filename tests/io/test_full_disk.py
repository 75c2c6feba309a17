"""Commands on disks that are full, or can only be read: one clear line at once, and nothing destroyed."""

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sample import Outcome, metrics_of

PROGRAM = Path(sys.executable).with_name("ner-lab")
SIZES = [4, 8, 12, 16, 20, 28, 40, 52, 56, 60, 64, 72]  # KiB; the run takes some 64
DISKS = [*((size, "none") for size in SIZES), (12, "csv"), (16, "csv"), (64, "csv"), (28, "tensorboard")]


@pytest.fixture(scope="session")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """Runs a shell's line where `mount` can be called, and nobody else sees what it mounts."""
    ways = [["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]]
    here = tmp_path_factory.mktemp("mounts")

    def can(way: list[str]) -> bool:
        try:
            return (
                subprocess.run([*way, "mount", "-t", "tmpfs", "none", str(here)], capture_output=True).returncode == 0
            )
        except FileNotFoundError:
            return False

    way = next(filter(can, ways), None)
    if way is None:
        pytest.skip("no file system can be mounted here")

    def call(line: str) -> Outcome:
        done = subprocess.run([*way, "sh", "-c", line], capture_output=True, encoding="utf-8", timeout=300)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


def is_one_line(error: str) -> bool:
    lines = [line for line in error.splitlines() if "; no more is written to it" not in line]
    return len(lines) == 1 and lines[0].startswith("error: ") and "Traceback" not in error


def is_whole(run: Path) -> None:
    """Whatever lies in a run's folder was written to its end."""
    for path in run.rglob("*"):
        assert ".draft" not in path.name
        if path.suffix == ".json":
            json.loads(path.read_text())
    if (run / "checkpoints" / "best.ckpt").exists():
        from ner_lab.runs.folder import RunFolder

        RunFolder(run).read_checkpoint()


def test_a_checkpoint_that_may_not_be_so_large_ends_the_run_with_a_clear_line(small: list[str], tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, resource.RLIM_INFINITY))

    run = tmp_path / "run"
    cache = f"data.cache_dir={tmp_path / 'cache'}"
    done = subprocess.run(
        [PROGRAM, "train", *small, cache, f"hydra.run.dir={run}"],
        preexec_fn=limit,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 2
    assert f"error: {run / 'checkpoints' / 'state.new'}: larger than a file may be there (`ulimit -f`)." in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((run / "checkpoints").iterdir())
    assert json.loads((run / "run.json").read_text())
    is_whole(run)


@pytest.mark.soak
@pytest.mark.parametrize(("size", "logger"), DISKS)
def test_a_disk_that_is_full_at_any_moment_ends_the_run_with_a_clear_line(
    size: int, logger: str, small: list[str], tmp_path: Path, mounts: Callable[..., Outcome]
) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    command = shlex.join(
        [str(PROGRAM), "train", *small, "trainer.max_epochs=3", f"logger={logger}", f"hydra.run.dir={disk}/run"]
    )
    outcome = mounts(
        f"mount -t tmpfs -o size={size}k none {disk}; {command}; code=$?; cp -r {disk}/run {kept}; exit $code"
    )
    if outcome.code == 0:
        assert size >= 64
        assert metrics_of(kept)["status"] == "ok"
        return
    assert outcome.code == 2
    assert is_one_line(outcome.err[outcome.err.index("error: ") :]), outcome.err  # after warnings about the corpus
    assert "no space left on the disk" in outcome.err.lower()
    assert not (kept / "metrics.json").exists()
    is_whole(kept)


def test_a_folder_that_can_only_be_read_is_said_at_once(
    small: list[str], tmp_path: Path, mounts: Callable[..., Outcome]
) -> None:
    place = tmp_path / "read_only"
    place.mkdir()
    train = shlex.join([str(PROGRAM), "train", *small, f"hydra.run.dir={place}/run"])
    outcome = mounts(f"mount --bind {place} {place} && mount -o remount,bind,ro {place} && {train}")
    assert outcome == Outcome(
        2,
        "",
        f"error: {place}/run: the disk can only be read. Write elsewhere: hydra.run.dir=DIR moves a run, "
        "data.cache_dir=DIR or NER_LAB_CACHE the cache.\n",
    )
    assert os.listdir(place) == []


def test_a_file_in_place_of_the_folder_is_said_at_once(
    small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "file").write_text("mine")
    for place, said in (
        (tmp_path / "file" / "run", "a file is where a folder should be."),
        (tmp_path / "file", "something of this name exists already."),
        (tmp_path / ("x" * 300), "a name of 300 letters, more than the disk takes"),
    ):
        outcome = cli("train", *small, f"hydra.run.dir={place}")
        assert outcome.code == 2
        assert outcome.out == ""
        assert outcome.err.startswith(f"error: {place}: {said}")
        assert is_one_line(outcome.err)
    assert (tmp_path / "file").read_text() == "mine"


def test_without_a_cache_that_can_be_written_a_run_is_the_same(
    small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "file").touch()
    scores = []
    for name, cache in (("with", tmp_path / "cache"), ("without", tmp_path / "file" / "cache")):
        settings = ["trainer.max_epochs=1", f"data.cache_dir={cache}", f"hydra.run.dir={tmp_path / name}"]
        outcome = cli("train", *small, *settings)
        assert outcome.code == 0
        assert outcome.err.count("the cache cannot be written") == (name == "without")
        metrics = metrics_of(tmp_path / name)
        scores.append([metrics["dev"], metrics["test"], metrics["history"][0]["train_loss"]])
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "line",
    [
        "from ner_lab.cli.app import run_command; run_command(lambda: print('x', flush=True))",
        "from ner_lab.cli.app import run_command; run_command(lambda: print('x'))",
        "import sys; sys.argv = ['ner-lab', '--help']; from ner_lab.cli.main import main; main()",
        "import sys; sys.argv = ['ner-lab', '--version']; from ner_lab.cli.main import main; main()",
    ],
)
def test_standard_output_on_a_full_disk_is_a_clear_line(line: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", line], stdout=full, stderr=subprocess.PIPE, encoding="utf-8", env=environment
        )
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert "No space left on" in done.stderr


@pytest.mark.soak
def test_predictions_that_may_not_be_so_large_are_kept_as_far_as_they_came(run: Path, tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))

    (tmp_path / "in.txt").write_text("Anna Holm lives in Oslo .\n\n" * 1000)
    (tmp_path / "out").write_text("old")
    done = subprocess.run(
        [PROGRAM, "predict", f"run={run}", f"input={tmp_path / 'in.txt'}", f"output={tmp_path / 'out'}", "threads=1"],
        preexec_fn=limit,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    part = tmp_path / "out.part"
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {part}: larger than a file may be there")
    assert done.stderr.endswith(f"What was tagged so far is in {part}.\n")
    assert is_one_line(done.stderr)
    assert (tmp_path / "out").read_text() == "old"
    assert part.stat().st_size == 8000
