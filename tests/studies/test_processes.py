"""Jobs as processes: side by side, apart from each other, and gone when they are told to; here tiny programs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ner_lab.runs.folder import RunFolder
from ner_lab.studies import process_pool as processes
from ner_lab.studies.devices import GpuPool, Need
from ner_lab.studies.process_pool import Launch, Processes, describe_exit, job_environment, last_lines

BEGIN = """
import json, os, pathlib, signal, subprocess, sys, time
here = pathlib.Path(sys.argv[1])
"""
END = """
(here / 'metrics.json').write_text('{}')
"""
WELL = BEGIN + END
TIMED = BEGIN + "(here / 'begun').write_text(str(time.time())); time.sleep(0.2)" + END
HANGS = BEGIN + "(here / 'pid').write_text(str(os.getpid())); time.sleep(600)"
LEAVES = """
child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])
(here / 'child').write_text(str(child.pid))
"""
BREEDS = HANGS.replace("(here", LEAVES + "(here")
DEAF = HANGS.replace("(here", "for sign in (signal.SIGINT, signal.SIGTERM): signal.signal(sign, signal.SIG_IGN)\n(here")
PATIENT = BEGIN + "(here / 'pid').write_text('0')\nwhile not (here / 'go').exists(): time.sleep(0.01)" + END
TIDY = (
    BEGIN
    + """
try:
    (here / 'pid').write_text(str(os.getpid()))
    time.sleep(600)
finally:
    time.sleep(0.3)
    (here / 'tidied').touch()
"""
)
NO_GPU = Need(1, 1, False)


def launch_of(folder: Path, need: Need = NO_GPU) -> Launch:
    return Launch([], RunFolder(folder), need)


def run(
    folder: Path,
    *programs: str,
    n_jobs: int = 4,
    gpus: GpuPool | None = None,
    needs: Sequence[Need] = (),
    watch: Callable[[list[Launch]], None] = lambda running: None,
    wanted: Callable[[Launch], bool] = lambda launch: True,
) -> list[Launch]:
    """Run Python programs as jobs, each given its folder, and give the launches in the order they ended."""
    launches = [
        launch_of(folder / f"job={number}" / "seed=1", needs[number] if needs else NO_GPU)
        for number in range(len(programs))
    ]
    code = {launch.name: program for launch, program in zip(launches, programs, strict=True)}
    ended: list[Launch] = []
    Processes(
        command=lambda launch: [sys.executable, "-S", "-c", code[launch.name], str(launch.run.path)],
        n_jobs=n_jobs,
        gpus=gpus or GpuPool([]),
        wanted=wanted,
        watch=watch,
        ended=ended.append,
    ).run(launches)
    return ended


@pytest.fixture(autouse=True)
def _watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PAUSE", 0.01)


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_for(*paths: Path, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < until, f"waited for {paths}"
        time.sleep(0.01)


def wait_until_gone(*pids: int, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < until, f"{alive} are still there"
        time.sleep(0.05)


# side by side


def test_jobs_run_side_by_side_but_no_more_than_are_allowed(tmp_path: Path) -> None:
    most = []
    ended = run(tmp_path, *[TIMED] * 5, n_jobs=2, watch=lambda running: most.append(len(running)))
    assert max(most) == 2
    assert len(ended) == 5
    spans = [(float((one.run.path / "begun").read_text()), one.run.metrics.stat().st_mtime) for one in ended]
    at_once = [sum(begun <= start < end for begun, end in spans) for start, _ in spans]
    assert max(at_once) == 2


def test_jobs_start_in_their_order(tmp_path: Path) -> None:
    assert [launch.name for launch in run(tmp_path, WELL, WELL, WELL, n_jobs=1)] == [
        "job=0/seed=1",
        "job=1/seed=1",
        "job=2/seed=1",
    ]


def test_without_jobs_nothing_happens(tmp_path: Path) -> None:
    assert run(tmp_path) == []


def test_a_job_that_is_not_wanted_any_more_is_left_out(tmp_path: Path) -> None:
    pool, need = GpuPool([0]), Need(1, 1, True)
    asked: list[str] = []

    def wanted(launch: Launch) -> bool:
        asked.append(launch.name)
        return "job=1" not in launch.name

    ended = run(tmp_path, WELL, WELL, WELL, n_jobs=1, gpus=pool, needs=[need] * 3, wanted=wanted)
    assert [launch.name for launch in ended] == ["job=0/seed=1", "job=2/seed=1"]
    assert asked == ["job=0/seed=1", "job=1/seed=1", "job=2/seed=1"]
    assert not (tmp_path / "job=1").exists()
    assert pool.room == {"0": 1}


# each for itself


def test_what_befalls_a_job_touches_no_other(tmp_path: Path) -> None:
    killed = BEGIN + "print('so far'); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    failing = BEGIN + "print('one'); raise ValueError('two')"
    refused = BEGIN + "print('error: no such file'); sys.exit(2)"
    ended = {one.name[4]: one for one in run(tmp_path, TIMED, failing, killed, refused, BEGIN, TIMED)}
    assert {name: one.exit_code for name, one in ended.items()} == {"0": 0, "1": 1, "2": -9, "3": 2, "4": 0, "5": 0}
    assert [name for name, one in ended.items() if one.run.metrics.exists()] == ["0", "5"]
    reasons = {name: json.loads(one.run.failure.read_text()) for name, one in ended.items() if one.run.failure.exists()}
    assert {name: reason["reason"] for name, reason in reasons.items()} == {
        "1": "exit code 1",
        "2": "killed by SIGKILL",
        "3": "refused (exit code 2)",
        "4": "ended without metrics.json",
    }
    assert reasons["1"]["log"][0] == "one"
    assert reasons["1"]["log"][-1] == "ValueError: two"
    assert reasons["2"] == {"exit_code": -9, "reason": "killed by SIGKILL", "log": ["so far"]}
    assert ended["1"].seconds > 0


def test_a_killed_job_takes_its_own_processes_with_it_and_no_others(tmp_path: Path) -> None:
    killed, well = (tmp_path / f"job={number}" / "seed=1" for number in (0, 1))

    def watch(running: list[Launch]) -> None:
        wait_for(killed / "pid", well / "pid")
        if len(running) == 2:
            os.kill(int((killed / "pid").read_text()), signal.SIGKILL)
        else:
            wait_until_gone(int((killed / "child").read_text()))
            (well / "go").touch()

    assert [launch.exit_code for launch in run(tmp_path, BREEDS, PATIENT, watch=watch)] == [-9, 0]


def test_what_a_finished_job_left_running_ends_with_it(tmp_path: Path) -> None:
    (launch,) = run(tmp_path, BEGIN + LEAVES + END)
    assert launch.exit_code == 0
    wait_until_gone(int((launch.run.path / "child").read_text()))


def test_the_log_holds_all_attempts_and_a_failure_the_words_of_the_last(tmp_path: Path) -> None:
    run(tmp_path, BEGIN + "print('first'); print('Zürich'); sys.exit(1)")
    (again,) = run(tmp_path, BEGIN + "print('second', file=sys.stderr); sys.exit(3)")
    assert (again.run.path / "console.log").read_text() == "first\nZürich\nsecond\n"
    assert json.loads(again.run.failure.read_text())["log"] == ["second"]


def test_of_a_long_log_the_end_is_kept_whatever_stands_in_it(tmp_path: Path) -> None:
    says = (
        BEGIN
        + "[print('line', n, 'x' * 400) for n in range(500)]; sys.stdout.buffer.write(b'\\xff end\\n\\n'); sys.exit(1)"
    )
    (launch,) = run(tmp_path, says)
    lines = json.loads(launch.run.failure.read_text())["log"]
    assert len(lines) == 12
    assert lines[-1] == "\ufffd end"
    assert lines[-2].startswith("line 499 ")
    assert last_lines(launch, 1) == lines[-1:]
    assert last_lines(launch_of(tmp_path / "nowhere")) == []


def test_a_job_that_cannot_read_input_ends_instead_of_waiting(tmp_path: Path) -> None:
    (launch,) = run(tmp_path, BEGIN + "print(repr(sys.stdin.read())); input()")
    assert launch.exit_code == 1
    assert json.loads(launch.run.failure.read_text())["log"][0] == "''"


# what a job sees

OF_OTHERS = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_JOB_ID", "SLURM_NTASKS_PER_NODE"),
    *("TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE", "JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK"),
    *("PL_GLOBAL_SEED", "WANDB_RUN_ID", "WANDB_SERVICE"),
)


def test_a_job_does_not_see_whose_child_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_OTHERS:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WANDB_API_KEY", "kept")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (launch,) = run(tmp_path, BEGIN + "(here / 'metrics.json').write_text(json.dumps(dict(os.environ)))")
    seen = json.loads(launch.run.metrics.read_text())
    assert not set(OF_OTHERS) & seen.keys()
    assert (seen["WANDB_API_KEY"], seen["OMP_NUM_THREADS"], seen["PATH"]) == ("kept", "1", os.environ["PATH"])


def test_a_job_sees_its_own_gpus_and_no_others(tmp_path: Path) -> None:
    seen = BEGIN + "(here / 'metrics.json').write_text(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.1)"
    ended = run(
        tmp_path, *[seen] * 4, gpus=GpuPool([5, 6, 7]), needs=[Need(2, 1, True), NO_GPU, Need(1, 1, True), NO_GPU]
    )
    assert {one.name[4]: one.run.metrics.read_text() for one in ended} == {"0": "5,6", "1": "", "2": "7", "3": ""}


def test_jobs_wait_for_gpus_and_share_none(tmp_path: Path) -> None:
    most: list[int] = []
    shown: list[list[str]] = []

    def watch(running: list[Launch]) -> None:
        most.append(len(running))
        shown.append([gpu for launch in running for gpu in launch.gpus])

    ended = run(
        tmp_path, *[TIMED] * 5, gpus=GpuPool([0, 1]), needs=[Need(1, 1, True)] * 3 + [Need(2, 1, True)] * 2, watch=watch
    )
    assert len(ended) == 5
    assert max(most) == 2
    assert all(len(set(gpus)) == len(gpus) for gpus in shown)


def test_numbers_of_gpus_mean_what_they_meant_to_us() -> None:
    ours = job_environment({"CUDA_VISIBLE_DEVICES": "2,3"}, ["3"])
    assert (ours["CUDA_VISIBLE_DEVICES"], ours.get("CUDA_DEVICE_ORDER")) == ("3", None)
    assert job_environment({}, ["1"])["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"  # the order of nvidia-smi


def test_modules_are_not_found_where_we_find_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    command = [sys.executable, "-m", "random"]
    assert subprocess.run(command, env=job_environment(os.environ, []), capture_output=True).returncode == 0
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert subprocess.run(command, env=job_environment(os.environ, []), capture_output=True).returncode == 7


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended without metrics.json"),
        (1, "exit code 1"),
        (2, "refused (exit code 2)"),
        (75, "stopped; it resumes from its checkpoint when it is started again"),
        (130, "interrupted"),
        (-9, "killed by SIGKILL"),
        (-15, "killed by SIGTERM"),
        (-200, "killed by signal 200"),
    ],
)
def test_exit_codes_are_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


# stopping

DRIVER = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_processes import run
print("ready", flush=True)
try:
    for launch in run(Path(sys.argv[2]), *json.loads(sys.argv[3]), n_jobs=3):
        print(launch.name, launch.exit_code, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs programs as jobs from a process of its own, which can be sent signals."""
    started: list[subprocess.Popen[str]] = []

    def sweep(*programs: str, ignored: Sequence[signal.Signals] = ()) -> subprocess.Popen[str]:
        def prepare() -> None:
            for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # however this suite was started
                signal.signal(sign, signal.SIG_IGN if sign in ignored else signal.SIG_DFL)

        command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(tmp_path), json.dumps(programs)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=prepare))
        return started[-1]

    yield sweep
    for process in started:
        process.kill()
        process.communicate()
        for file in tmp_path.rglob("pid"):
            if is_alive(int(file.read_text())):
                os.killpg(int(file.read_text()), signal.SIGKILL)


def pid_files(folder: Path, *jobs: int, name: str = "pid") -> list[Path]:
    return [folder / f"job={job}" / "seed=1" / name for job in jobs]


def told(process: subprocess.Popen[str], seconds: float = 60) -> str:
    return process.communicate(timeout=seconds)[0]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sweep_that_is_stopped_ends_its_jobs_and_all_their_processes(
    sign: signal.Signals, tmp_path: Path, sweep: Callable[..., subprocess.Popen[str]]
) -> None:
    process = sweep(WELL, BREEDS, HANGS, HANGS, WELL)
    files = [*pid_files(tmp_path, 1, 2, 3), *pid_files(tmp_path, 1, name="child")]
    wait_for(*files, *pid_files(tmp_path, 0, name="metrics.json"))
    process.send_signal(sign)
    assert told(process).splitlines()[-1] == "interrupted"
    wait_until_gone(*(int(file.read_text()) for file in files))
    assert (tmp_path / "job=0" / "seed=1" / "metrics.json").exists()
    assert not (tmp_path / "job=4").exists(), "no further job is started"
    assert not list(tmp_path.rglob("failure.json")), "what was stopped has not failed"


def test_a_job_is_asked_to_end_in_order_before_it_is_killed(
    tmp_path: Path, sweep: Callable[..., subprocess.Popen[str]]
) -> None:
    process = sweep(TIDY)
    wait_for(*pid_files(tmp_path, 0))
    process.send_signal(signal.SIGINT)
    told(process)
    assert (tmp_path / "job=0" / "seed=1" / "tidied").exists()


def test_who_cannot_wait_for_a_deaf_job_presses_ctrl_c_again(
    tmp_path: Path, sweep: Callable[..., subprocess.Popen[str]]
) -> None:
    process = sweep(DEAF, HANGS)
    files = pid_files(tmp_path, 0, 1)
    wait_for(*files)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert told(process, 30).splitlines()[-1] == "interrupted"
    wait_until_gone(*(int(file.read_text()) for file in files))


def test_a_sweep_that_ignores_ctrl_c_still_stops_its_jobs_when_it_is_stopped(
    tmp_path: Path, sweep: Callable[..., subprocess.Popen[str]]
) -> None:
    process = sweep(TIDY, ignored=[signal.SIGINT, signal.SIGHUP])  # as behind `&` in a script, or nohup
    (file,) = pid_files(tmp_path, 0)
    wait_for(file)
    for sign in (signal.SIGINT, signal.SIGHUP):
        process.send_signal(sign)
    time.sleep(1)  # longer than the job takes to end
    assert process.poll() is None
    assert is_alive(int(file.read_text()))
    process.send_signal(signal.SIGTERM)
    told(process)
    wait_until_gone(int(file.read_text()))
    assert (file.parent / "tidied").exists(), "the job heard the first, gentlest signal"


def test_signals_are_answered_as_before_once_jobs_are_done(tmp_path: Path) -> None:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(sign) for sign in signals]
    within: list[object] = []
    run(tmp_path, WELL, watch=lambda running: within.extend(signal.getsignal(sign) for sign in signals))
    assert [signal.getsignal(sign) for sign in signals] == before
    assert not set(map(repr, within)) & set(map(repr, before))


def test_a_fault_of_ours_leaves_no_job_running(tmp_path: Path) -> None:
    (file,) = pid_files(tmp_path, 0)

    def watch(running: list[Launch]) -> None:
        wait_for(file)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, HANGS, watch=watch)
    wait_until_gone(int(file.read_text()))
