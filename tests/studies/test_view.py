"""What a person sees of a sweep while it runs: a bar for all of it, one for each running job, gone at its end."""

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from ner_lab.io import terminal
from ner_lab.runs.folder import RunFolder
from ner_lab.studies import progress_view as view_module
from ner_lab.studies.devices import Need
from ner_lab.studies.process_pool import Launch
from ner_lab.studies.progress_view import SweepView


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_console", Console(file=io.StringIO(), force_terminal=True, width=120))
    monkeypatch.setattr(view_module, "_LOOK", 0.0)


def launches_of(folder: Path, *names: str) -> list[Launch]:
    made = [Launch([], RunFolder(folder / name), Need(1, 1, False)) for name in names]
    for launch in made:
        launch.run.path.mkdir(parents=True)
        launch.started = time.monotonic() - 30
    return made


def says(launch: Launch, share: float) -> None:
    progress = {"epoch": 3, "epochs": 9, "share": share, "f1": 80.0, "best": 81.5}
    launch.run.progress.write_text(json.dumps(progress))


def ends(view: SweepView, launch: Launch, code: int = 0) -> None:
    launch.exit_code, launch.seconds = code, 60.0
    if code == 0:
        launch.run.metrics.write_text('{"status": "ok", "dev": {"f1": 80.0}}')
    view.ended(launch)


def notes(view: SweepView) -> dict[str, str]:
    """The lines now on the screen: what stands before each bar, and per cent and note behind it."""
    page = Console(file=io.StringIO(), width=120)
    page.print(view._bars.get_renderable())
    lines = page.file.getvalue().splitlines()  # type: ignore[attr-defined]
    found = [re.fullmatch(r"(.+?) [ ━╺╸]* (\d+%) [\d:]+ ?(.*)", line.rstrip()) for line in lines]
    return {match[1]: f"{match[2]} {' '.join(match[3].split())}" for match in found if match is not None}


@pytest.fixture
def launches(tmp_path: Path) -> list[Launch]:
    return launches_of(tmp_path, "decoder=crf,encoder=rnn/seed=1", "decoder=crf,encoder=cnn/seed=1")


@pytest.fixture
def view(launches: list[Launch]) -> Iterator[SweepView]:
    with SweepView(launches, 2) as view:
        yield view


def test_each_running_job_has_a_bar_named_by_what_sets_it_apart(view: SweepView, launches: list[Launch]) -> None:
    assert list(notes(view)) == ["all jobs"]
    says(launches[0], 0.5)
    view.watch(launches)
    lines = notes(view)
    assert list(lines) == ["all jobs", "encoder=rnn", "encoder=cnn"]
    assert lines["encoder=rnn"] == "50% epoch 3/9 dev F1 80.00 (best 81.50), about 30 s left"
    assert lines["encoder=cnn"] == "0% starting"
    assert lines["all jobs"] == "25% 0 of 2, about 45 s left"  # half a job and a whole one, two at once


def test_a_bar_goes_when_its_job_ends_and_the_time_left_is_told_by_those_that_ended(
    view: SweepView, launches: list[Launch]
) -> None:
    view.watch(launches)
    ends(view, launches[0])
    says(launches[1], 0.04)
    view.watch(launches[1:])
    lines = notes(view)
    assert list(lines) == ["all jobs", "encoder=cnn"]
    assert lines["all jobs"] == "52% 1 of 2, about 58 s left"
    ends(view, launches[1], code=1)
    view.watch([])
    assert notes(view)["all jobs"] == "100% 2 of 2"


def test_a_job_that_another_sweep_took_does_not_count(view: SweepView, launches: list[Launch]) -> None:
    view.left_out(launches[0])
    view.watch(launches[1:])
    assert notes(view)["all jobs"] == "0% 0 of 1"


def test_long_names_leave_room_for_the_bars(tmp_path: Path) -> None:
    names = [f"data.train=_some_{word * 20}_train.conll/seed=1" for word in ("where", "place")]
    launches = launches_of(tmp_path, *names)
    with SweepView(launches, 2) as view:
        view.watch(launches)
        assert list(notes(view).values()) == ["0% 0 of 2", "0% starting", "0% starting"]


def test_where_nobody_watches_no_bar_is_drawn(launches: list[Launch], monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    monkeypatch.setattr(terminal, "_console", console)
    with SweepView(launches, 2) as view:
        view.watch(launches)
        ends(view, launches[0])
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
