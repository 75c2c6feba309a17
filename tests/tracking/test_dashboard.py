"""Dashboards: built without a server; their panels ask for nothing that a run does not leave at W&B."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from offline_run import read_back
from sample import Outcome

from ner_lab.cli.dashboard import read_study
from ner_lab.errors import UserError
from ner_lab.tracking import metric_names as names
from ner_lab.tracking.wandb import dashboard
from ner_lab.tracking.wandb.dashboard import Study, choice_key, report, workspace

STUDY = Study(
    name="mine",
    factors={"char_encoder": "char encoder", "decoder": "decoder", "optimizer.lr": "learning rate"},
    question="Does it help?",
    baseline="char_encoder=none,decoder=softmax",
)


@pytest.fixture(scope="module")
def panels() -> list[Any]:
    """Of the workspace, and of the report."""
    pytest.importorskip("wandb_workspaces")
    sections = workspace(STUDY, "me", "ner_lab").sections
    grids = [block for block in report(STUDY, "me", "ner_lab").blocks if hasattr(block, "panels")]
    assert len(sections) == len(grids) > 2
    return [panel for section in (*sections, *grids) for panel in section.panels]


@pytest.fixture(scope="module")
def left(console_run: tuple[Path, Outcome]) -> dict[str, Any]:
    """All that a small run left at W&B: names of curves and of the summary, and its config."""
    back = read_back(console_run[0])
    summary = {key.partition("/_")[0] for key in back.summary} | set(back.summary)
    tables = {key.removesuffix("/artifact_path") for key in back.summary if key.endswith("/artifact_path")}
    return {"curves": set(back.curves), "summary": summary, "tables": tables, "config": back.config}


def asked(panel: Any) -> Iterator[tuple[str, str]]:
    """What a panel asks for: kind and name. A panel of a kind that is not known here fails."""
    kind = type(panel).__name__
    if kind == "LinePlot":
        yield from (("curves", str(name)) for name in (panel.x, *panel.y))
        if panel.metric_regex:
            yield "curves like", panel.metric_regex
    elif kind == "BarPlot":
        yield from (("summary", name) for name in panel.metrics)
    elif kind == "ScatterPlot":
        yield from (("summary", metric.name) for metric in (panel.x, panel.y))
    elif kind == "ParallelCoordinatesPlot":
        for column in panel.columns:
            yield "config" if type(column.metric).__name__ == "Config" else "summary", column.metric.name
    elif kind == "ParameterImportancePlot":
        yield "summary", panel.with_respect_to
    elif kind == "MediaBrowser":
        yield from (("summary", key) for key in panel.media_keys)
    elif kind == "WeavePanelSummaryTable":
        yield "tables", panel.table_name
    else:
        raise AssertionError(kind)


def test_panels_ask_for_nothing_that_runs_do_not_leave(panels: list[Any], left: dict[str, Any]) -> None:
    for kind, name in [each for panel in panels for each in asked(panel)]:
        if kind == "curves like":
            assert [curve for curve in left["curves"] if re.fullmatch(name, curve)], name
        elif kind == "config":
            node = left["config"]
            for key in name.split("."):
                node = node[key]
            assert isinstance(node, str | int | float), name
        else:
            assert name in left[kind], name


def test_every_curve_and_score_has_a_panel(panels: list[Any]) -> None:
    wanted = {name for panel in panels for _, name in asked(panel)}
    assert set(names.CURVES) <= wanted
    assert {names.TEST_F1, names.TYPE_CURVES, names.TRANSITION_MAP} <= wanted


def test_panels_are_written_as_the_server_takes_them(panels: list[Any]) -> None:
    for panel in panels:
        assert panel._to_model().model_dump_json(by_alias=True)


def test_a_workspace_shows_the_runs_of_its_study_by_configuration() -> None:
    pytest.importorskip("wandb_workspaces")
    spec = workspace(STUDY, "me", "ner_lab")._to_model().model_dump(by_alias=True)
    (runs,) = spec["spec"]["section"]["runSets"]
    assert "'mine'" in json.dumps(runs["filters"]).replace('"', "'")
    grouping = [key["name"] for key in runs["grouping"]]
    assert grouping == ["choices.value.char_encoder", "choices.value.decoder", "optimizer.value.lr"]


def test_a_report_says_what_its_study_asks() -> None:
    pytest.importorskip("wandb_workspaces")
    built = report(STUDY, "me", "ner_lab")
    assert built.title == "mine: Does it help?"
    said = [getattr(block, "text", "") for block in built.blocks]
    assert "Does it help?" in said
    assert "Compared: char encoder, decoder, learning rate." in said
    (runs,) = next(block for block in built.blocks if hasattr(block, "runsets")).runsets
    assert runs.groupby == [f"config.{choice_key(factor)}" for factor in STUDY.factors]


def test_panels_of_a_report_do_not_cover_each_other() -> None:
    pytest.importorskip("wandb_workspaces")
    for block in report(STUDY, "me", "ner_lab").blocks:
        cells = [
            (x, y)
            for panel in getattr(block, "panels", ())
            for x in range(panel.layout.x, panel.layout.x + panel.layout.w)
            for y in range(panel.layout.y, panel.layout.y + panel.layout.h)
        ]
        assert len(cells) == len(set(cells))
        assert all(x < 24 for x, _ in cells)


def test_a_study_is_read_from_its_file_or_its_folder(tmp_path: Path) -> None:
    by_name = read_study("chars_by_decoder")
    assert (by_name.name, dict(by_name.factors)) == (
        "chars_by_decoder",
        {"char_encoder": "char encoder", "decoder": "decoder"},
    )
    (tmp_path / "study.yaml").write_text("name: mine\nfactors: {decoder: output}\nbaseline: null\njobs: []\n")
    assert read_study(str(tmp_path)) == Study("mine", {"decoder": "output"})


# the command


def test_saving_takes_a_key(cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    outcome = cli("dashboard", "chars_by_decoder")
    assert outcome.code == 2
    assert "W&B needs a key to save a dashboard: wandb login, or WANDB_API_KEY." in outcome.said


def test_without_a_server_the_command_says_so(cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "")
    outcome = cli("dashboard", "chars_by_decoder", "base_url=http://127.0.0.1:9")
    assert outcome.code == 2
    assert "http://127.0.0.1:9 cannot be reached" in outcome.said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "which study?"), (("chars_by_decoders",), "chars_by_decoder"), (("a", "nam=b"), "unknown key 'nam'")],
)
def test_what_the_command_cannot_read_is_named(
    arguments: tuple[str, ...], said: str, cli: Callable[..., Outcome]
) -> None:
    outcome = cli("dashboard", *arguments)
    assert outcome.code == 2
    assert said in outcome.said


def test_saving_gives_the_addresses(
    cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspaces = pytest.importorskip("wandb_workspaces.workspaces")
    reports = pytest.importorskip("wandb_workspaces.reports.v2")
    saved = []

    def save(self: Any) -> Any:
        saved.append((type(self).__name__, self.entity, self.project))
        return type("Saved", (), {"url": f"https://there/{type(self).__name__}"})

    for kind in (workspaces.Workspace, reports.Report):
        monkeypatch.setattr(kind, "save", save)
    monkeypatch.setattr("ner_lab.cli.dashboard.ask", lambda url, seconds: None)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    for name in ("WANDB_BASE_URL", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "")
    outcome = cli("dashboard", "chars_by_decoder", "entity=me", "project=theirs")
    assert outcome.code == 0, outcome.said
    assert saved == [("Workspace", "me", "theirs"), ("Report", "me", "theirs")]
    assert "https://there/Workspace" in outcome.said
    assert "https://there/Report" in outcome.said


def test_without_their_package_dashboards_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    for build in (workspace, report):
        with pytest.raises(UserError, match=r"pip install 'ner-lab\[dashboards\]'"):
            build(STUDY, "me", "ner_lab")


def test_what_wandb_refuses_is_said(cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise wandb.errors.CommError("no such team")

    monkeypatch.setattr("ner_lab.cli.dashboard.ask", lambda url, seconds: None)
    monkeypatch.setattr("ner_lab.cli.dashboard.workspace", refuse)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    for name in ("WANDB_BASE_URL", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "")
    outcome = cli("dashboard", "chars_by_decoder", "entity=me")
    assert (outcome.code, "W&B did not save the dashboard: no such team" in outcome.said) == (2, True)
