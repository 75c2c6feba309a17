"""Dashboards: saved on a server for tests; their panels refer only to metrics that a run logs."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from offline_run import read_back
from sample import Outcome
from wandb_server_for_tests import KEY, WandbServer

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
Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def panels() -> list[Any]:
    """Of the workspace, and of the report."""
    pytest.importorskip("wandb_workspaces")
    sections = workspace(STUDY, "me", "ner_lab").sections
    grids = [block for block in report(STUDY, "me", "ner_lab").blocks if hasattr(block, "panels")]
    assert len(sections) == len(grids) > 2
    return [panel for section in (*sections, *grids) for panel in section.panels]


@pytest.fixture(scope="module")
def logged(train_small: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that a small run logs: names of curves, of the summary and of tables, and its config."""
    folder = tmp_path_factory.mktemp("logged") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_BASE_URL", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):  # the tracker sets them: put back
            patch.setenv(name, "")
            patch.delenv(name)
        train_small(folder, char_encoder="cnn", decoder="crf")
    back = read_back(folder)
    summary = {key.partition("/_")[0] for key in back.summary} | set(back.summary)
    tables = {key.removesuffix("/artifact_path") for key in back.summary if key.endswith("/artifact_path")}
    return {"curves": set(back.curves), "summary": summary, "tables": tables, "config": back.config}


def references(panel: Any) -> Iterator[tuple[str, str]]:
    """What a panel refers to: kind and name. A panel of an unknown kind fails."""
    kind = type(panel).__name__
    if kind == "LinePlot":
        yield from (("curves", str(name)) for name in (panel.x, *panel.y))
        if panel.metric_regex:
            yield "pattern", panel.metric_regex
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


def test_panels_refer_to_what_runs_log_and_every_curve_and_score_has_a_panel(
    panels: list[Any], logged: dict[str, Any]
) -> None:
    found = [each for panel in panels for each in references(panel)]
    for kind, name in found:
        if kind == "pattern":
            assert [curve for curve in logged["curves"] if re.fullmatch(name, curve)], name
        elif kind == "config":
            node = logged["config"]
            for key in name.split("."):
                node = node[key]
            assert isinstance(node, str | int | float), name
        else:
            assert name in logged[kind], name
    assert {*names.CURVES, names.TEST_F1, names.TYPE_CURVES, names.TRANSITION_MAP} <= {name for _, name in found}


def test_a_report_has_the_question_and_its_panels_do_not_overlap() -> None:
    pytest.importorskip("wandb_workspaces")
    built = report(STUDY, "me", "ner_lab")
    assert built.title == "mine: Does it help?"
    texts = [getattr(block, "text", "") for block in built.blocks]
    assert {"Does it help?", "Compared: char encoder, decoder, learning rate."} <= set(map(str, texts))
    (runs,) = next(block for block in built.blocks if hasattr(block, "runsets")).runsets
    assert runs.groupby == [f"config.{choice_key(factor)}" for factor in STUDY.factors]
    for block in built.blocks:
        cells = [
            (x, y)
            for panel in getattr(block, "panels", ())
            for x in range(panel.layout.x, panel.layout.x + panel.layout.w)
            for y in range(panel.layout.y, panel.layout.y + panel.layout.h)
        ]
        assert len(cells) == len(set(cells))
        assert all(x < 24 for x, _ in cells)


def test_a_study_is_read_from_its_file_or_its_folder(tmp_path: Path) -> None:
    factors = {"char_encoder": "char encoder", "decoder": "decoder"}
    by_name = read_study("chars_by_decoder")
    assert (by_name.name, dict(by_name.factors)) == ("chars_by_decoder", factors)
    (tmp_path / "study.yaml").write_text("name: mine\nfactors: {decoder: output}\nbaseline: null\njobs: []\n")
    assert read_study(str(tmp_path)) == Study("mine", {"decoder": "output"})


# the command


@pytest.fixture
def dashboard_of(
    cli: Cli, server: WandbServer, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """`ner-lab dashboard` with a key and the server for tests."""
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return lambda *arguments: cli("dashboard", "chars_by_decoder", f"base_url={server.url}", *arguments)


def test_workspace_and_report_are_saved_and_their_addresses_printed(
    dashboard_of: Callable[..., Outcome], server: WandbServer
) -> None:
    outcome = dashboard_of("--entity", "me", "project=theirs")
    assert outcome.code == 0, outcome.said
    saved = {each["type"]: each for each in server.variables if "spec" in each}
    assert {(each["entityName"], each["projectName"]) for each in saved.values()} == {("me", "theirs")}
    (runs,) = json.loads(saved["project-view"]["spec"])["section"]["runSets"]
    assert "chars_by_decoder" in json.dumps(runs["filters"])
    assert [key["name"] for key in runs["grouping"]] == ["choices.value.char_encoder", "choices.value.decoder"]
    assert "Does the CRF still help" in saved["runs"]["spec"]
    assert f"workspace  {server.url}/me/theirs" in outcome.said
    assert f"report     {server.url}/me/theirs/reports/chars_by_decoder" in outcome.said


def test_an_error_of_wandb_is_one_line(dashboard_of: Callable[..., Outcome], server: WandbServer) -> None:
    server.project = None
    outcome = dashboard_of("entity=me")
    assert outcome.code == 2
    assert re.search("error: W&B did not save the dashboard: .*project 'me/ner_lab' not found", outcome.said)


@pytest.mark.parametrize(
    ("arguments", "key", "message"),
    [
        ([], KEY, "which study?"),
        (["chars_by_decoders"], KEY, "chars_by_decoder"),
        (["a", "nam=b"], KEY, "unknown key 'nam'"),
        (["chars_by_decoder"], "", "W&B needs a key to save a dashboard: wandb login, or WANDB_API_KEY."),
        (["chars_by_decoder", "base_url=http://127.0.0.1:9"], KEY, "http://127.0.0.1:9 cannot be reached"),
    ],
)
def test_what_is_missing_is_named(
    arguments: list[str], key: str, message: str, cli: Cli, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    outcome = cli("dashboard", *arguments)
    assert outcome.code == 2
    assert message in outcome.said


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    for build in (workspace, report):
        with pytest.raises(UserError, match=r"pip install 'ner-lab\[dashboards\]'"):
            build(STUDY, "me", "ner_lab")
