"""W&B views of a study, as code: an interactive workspace and a report to share.

Panels use the metric names of `ner_lab.tracking.metric_names` and the choices in a run's config.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ner_lab.errors import UserError
from ner_lab.tracking import metric_names as names

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

_WIDTH = 24  # columns of a report's grid
_RUNS = 100  # maximum number of runs in a plot


@dataclass(frozen=True)
class Study:
    """The data of a study for a dashboard; factors: swept keys and their labels in plots."""

    name: str
    factors: Mapping[str, str] = field(default_factory=dict)
    question: str | None = None
    baseline: str | None = None


def choice_key(factor: str) -> str:
    """The key of a choice in a run's config: `choices.decoder` for a group, `optimizer.lr` for a key."""
    return factor if "." in factor else f"choices.{factor}"


def workspace(study: Study, entity: str, project: str) -> "Workspace":
    """A workspace with the study's runs, grouped by configuration, with their curves, scores and mistakes."""
    _need_package()
    import wandb_workspaces.workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name=study.name,
        sections=[
            ws.Section(
                name=title,
                panels=panels,
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=_across(title), rows=2),
            )
            for title, panels in _sections(study).items()
        ],
        settings=ws.WorkspaceSettings(x_axis=names.EPOCH, max_runs=_RUNS),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(ws.Metric("Group") == study.name),
            groupby=[ws.Config(choice_key(factor)) for factor in study.factors],
            order=[ws.Ordering(ws.Summary(names.TEST_F1), ascending=False)],
            pinned_columns=[f"summary:{name}" for name in (names.DEV_F1, names.TEST_F1)],
        ),
    )


def report(study: Study, entity: str, project: str) -> "Report":
    """A report with the study's question and its panels by section."""
    _need_package()
    import wandb_workspaces.reports.v2 as wr
    from wandb_workspaces import expr

    runs = [
        wr.Runset(
            entity=entity,
            project=project,
            name=study.name,
            filters=expr.And(expr.Metric("Group") == study.name),
            groupby=[f"config.{choice_key(factor)}" for factor in study.factors],
        )
    ]
    blocks: list[Any] = [wr.TableOfContents()]
    if study.question:
        blocks.append(wr.P(study.question))
    if study.factors:
        blocks.append(wr.P(f"Compared: {', '.join(study.factors.values())}."))
    if study.baseline:
        blocks.append(wr.P(f"Baseline: {study.baseline}."))
    for title, panels in _sections(study).items():
        _lay_out(panels, _across(title))
        blocks += [wr.H1(title), wr.PanelGrid(runsets=runs, panels=panels)]
    return wr.Report(
        entity=entity,
        project=project,
        title=f"{study.name}: {study.question}"[:128] if study.question else study.name,
        blocks=blocks,
        width="fluid",
    )


_MISTAKES = "Mistakes"


def _across(title: str) -> int:
    """Panels per row: tables need more room."""
    return 2 if title == _MISTAKES else 3


def _sections(study: Study) -> dict[str, list[Any]]:
    """Panels by section title."""
    return {"Scores": _scores(study), "Learning": _learning(), "Training": _training(), _MISTAKES: _mistakes()}


def _scores(study: Study) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    chosen = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.Config(choice_key(factor)), display_name=label)
        for factor, label in study.factors.items()
    ]
    scores = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(name), display_name=names.SUMMARY[name])
        for name in (names.DEV_F1, names.TEST_F1)
    ]
    bars = [
        wr.BarPlot(
            title=names.SUMMARY[name],
            metrics=[name],
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            max_bars_to_show=_RUNS,
        )
        for name in (names.TEST_F1, names.DEV_F1)
    ]
    return [
        *bars,
        _scatter(names.DEV_F1, names.TEST_F1),
        wr.ParallelCoordinatesPlot(title="choices and scores", columns=[*chosen, *scores]),
        wr.ParameterImportancePlot(with_respect_to=names.DEV_F1),
    ]


def _learning() -> list[Any]:
    return [
        *(_curve(name) for name in names.CURVES if name.startswith("dev/") or name == "train/loss"),
        _curves_of_types(),
    ]


def _training() -> list[Any]:
    speed = [name for name in names.CURVES if name.startswith("train/") and name != "train/loss"]
    return [
        *map(_curve, speed),
        _scatter("train_seconds", names.TEST_F1),
        _scatter("parameters/all", names.TEST_F1),
    ]


def _mistakes() -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    return [
        *(wr.WeavePanelSummaryTable(table_name=names.MISTAKES.format(split=split)) for split in ("test", "dev")),
        *(wr.WeavePanelSummaryTable(table_name=names.CONFUSION_TABLE.format(split=split)) for split in ("test", "dev")),
        wr.MediaBrowser(title="scores between neighbouring tags", media_keys=[names.TRANSITION_MAP]),
    ]


def _curve(name: str) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(
        title=names.CURVES[name],
        x=names.EPOCH,
        y=[name],
        title_x="epoch",
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_runs_to_show=_RUNS,
    )


def _curves_of_types() -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(
        title="dev F1 by entity type (%)", x=names.EPOCH, metric_regex=names.TYPE_CURVES, title_x="epoch"
    )


def _scatter(x: str, y: str) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.ScatterPlot(
        title=f"{names.SUMMARY[y]} against {names.SUMMARY[x]}", x=wr.SummaryMetric(x), y=wr.SummaryMetric(y)
    )


def _lay_out(panels: Sequence[Any], across: int, height: int = 8) -> None:
    """Arrange a report's panels row by row."""
    import wandb_workspaces.reports.v2 as wr

    width = _WIDTH // across
    for number, panel in enumerate(panels):
        row, column = divmod(number, across)
        panel.layout = wr.Layout(x=column * width, y=row * height, w=width, h=height)


def _need_package() -> None:
    if find_spec("wandb_workspaces") is None:
        raise UserError("dashboards need a package: pip install 'ner-lab[dashboards]'")
