"""Plots: drawn where their data are, with every mark at the value it stands for, and the same bytes each time."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_study import FOUR, grid, job, metrics, write_plan, write_run
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from ner_lab.data.tags import Span
from ner_lab.evaluation.error_analysis import KINDS, Prediction
from ner_lab.evaluation.precision_recall import span_scores
from ner_lab.reporting.aggregates import Summary
from ner_lab.reporting.analysis import Findings, find
from ner_lab.reporting.plots import NAMES, PLOTS, Figure, draw
from ner_lab.reporting.plots.cost import cost
from ner_lab.reporting.plots.curves import learning_curves, over_epochs, over_time, panels_of
from ner_lab.reporting.plots.factors import interactions, main_effects
from ner_lab.reporting.plots.labels import label_points, spread
from ner_lab.reporting.plots.mistakes import confusion, kinds, mean_confusion, mean_kinds
from ner_lab.reporting.plots.parts import by_lengths, by_type, same_width
from ner_lab.reporting.plots.scores import differences, seeds
from ner_lab.reporting.plots.style import (
    DPI,
    Drawing,
    ShortNumbers,
    few_ticks,
    looks,
    new_figure,
    page,
    settle,
    wrapped,
    write,
)
from ner_lab.reporting.plots.transitions import mean_scores, transitions
from ner_lab.reporting.study_runs import collect

SOFTMAX, CRF, CNN, BOTH = FOUR
OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
SVG = "{http://www.w3.org/2000/svg}"
TAGS = ["O", "B-LOC", "I-LOC"]
LONG_SENTENCE = "\n" + 6 * "rain O O\n" + "Bergen B-LOC B-LOC\n"


def found(folder: Path, **asked: Any) -> Findings:
    return find(collect(folder), rounds=20, **asked)


def drawings(findings: Findings, *plots: Callable[[Findings], Iterator[Drawing]]) -> dict[str, Drawing]:
    """What plots draw, by default all, by name; nothing is written."""
    with page():
        return {drawing.name: drawing for plot in plots or PLOTS for drawing in plot(findings)}


def history(f1: Sequence[float], seconds: float = 8.0) -> list[dict[str, Any]]:
    """A run's epochs, each of which takes `seconds`."""
    return [
        {"epoch": epoch, "train_loss": 1.0, "dev_loss": 1.0, "dev": {"f1": value}, "seconds": seconds}
        for epoch, value in enumerate(f1, 1)
    ]


def scored_transitions(before: float = 0.0, after: float = 1.0, tags: Sequence[str] = TAGS) -> dict[str, Any]:
    """Every score one number before training, and one after it."""
    size = len(tags)
    borders = {"before": [before] * size, "after": [after] * size}
    matrix = {"before": [[before] * size] * size, "after": [[after] * size] * size}
    return {"tags": list(tags), "start": borders, "end": borders, "matrix": matrix}


def whole(folder: Path, cells: Mapping[str, Sequence[float]] = FOUR, **others: Any) -> Path:
    """A study of whose runs everything is known: curves, predictions, classes of words and transitions."""
    jobs = [job(name, seed) for name, values in cells.items() for seed in range(1, len(values) + 1)]
    for at, (name, values) in enumerate(cells.items()):
        for seed, value in enumerate(values, 1):
            content = metrics(
                seed,
                dev=value + 10,
                test=value,
                parameters={"word embedding": 900, "decoder": 100 * at},
                train_seconds=40.0 + 10 * at + seed,
                history=history([value - 5, value + 2, value + 10], seconds=10.0 + at),
                transitions=scored_transitions(after=float(seed)),
            )
            content["test"]["oov"] = {"IV": span_scores(8, 10, 10), "OOBV": span_scores(seed, 5, 5)}
            run = write_run(folder / name / f"seed={seed}", content, wrong=[at, seed])
            with (run / "predictions" / "test.conll").open("a") as file:
                file.write(LONG_SENTENCE)
    return write_plan(folder, jobs, **others)


def rows_study(folder: Path, labels: Sequence[str], seeds: int = 1, **content: Any) -> Path:
    """A study of rows; each is 2 points above the one before."""
    jobs = [job(f"row=r{at}", seed, label) for at, label in enumerate(labels) for seed in range(1, seeds + 1)]
    for at in range(len(labels)):
        for seed in range(1, seeds + 1):
            value = 60 + 2 * at + 0.3 * seed
            curve = history([value - 8, value, value + 1], seconds=5.0 + at)
            inside = {"parameters": {"all": 1000 + 40 * at}, "train_seconds": 30.0 + at * seed, "history": curve}
            run = metrics(seed, dev=value + 5, test=value, **{**inside, **content})
            write_run(folder / f"row=r{at}" / f"seed={seed}", run, wrong=[at % 5])
    return write_plan(folder, jobs, factors={"row": "row"})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return found(whole(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def drawn(study: Findings) -> dict[str, Drawing]:
    return drawings(study)


@pytest.fixture(scope="module")
def written(study: Findings, tmp_path_factory: pytest.TempPathFactory) -> list[Figure]:
    return draw(study, tmp_path_factory.mktemp("plots"))


def lines(figure: Canvas, gid: str) -> list[Line2D]:
    return [line for axes in figure.axes for line in axes.get_lines() if line.get_gid() == gid]


def marks(figure: Canvas, gid: str) -> list[tuple[float, float]]:
    """The places of what is called so, in all panels."""
    return [tuple(map(float, place)) for line in lines(figure, gid) for place in np.asarray(line.get_xydata())]


def unnamed(axes: Axes) -> list[list[list[float]]]:
    """Lines without a name, such as intervals: their points."""
    return [np.asarray(line.get_xydata()).tolist() for line in axes.get_lines() if line.get_gid() is None]


def row(findings: Findings, name: str) -> Any:
    return next(row for row in findings.rows if row.name == name)


# what is drawn


def test_a_full_study_has_every_plot_in_the_order_of_the_report(written: list[Figure]) -> None:
    assert tuple(figure.name for figure in written) == NAMES


@pytest.mark.parametrize(
    ("lost", "missing"),
    [
        (
            ("transitions", "history", "predictions"),
            "transitions curves_epochs curves_time mistakes confusion f1_by_sentence_length f1_by_entity_length",
        ),
        (("oov", "parameters", "train_seconds"), "f1_by_oov cost"),
    ],
)
def test_a_plot_whose_data_are_missing_is_left_out(tmp_path: Path, lost: Sequence[str], missing: str) -> None:
    whole(tmp_path, {name: values[:2] for name, values in FOUR.items()})
    for file in tmp_path.glob("*/*/metrics.json"):
        file.write_text(re.sub(f'"({"|".join(lost)})": ', r'"no \1": ', file.read_text()))
        if "predictions" in lost:
            (file.parent / "predictions" / "test.conll").unlink()
    assert set(NAMES) - set(drawings(found(tmp_path))) == set(missing.split())


def test_one_configuration_is_held_against_nothing(tmp_path: Path) -> None:
    whole(tmp_path, {CNN: FOUR[CNN]})
    assert set(NAMES) - set(drawings(found(tmp_path))) == {"differences", "main_effects", "interactions", "cost"}


def test_without_a_second_factor_nothing_is_said_of_factors(tmp_path: Path) -> None:
    whole(tmp_path, {CNN: FOUR[CNN], BOTH: FOUR[BOTH]})
    assert set(drawings(found(tmp_path), differences, main_effects, interactions)) == {"differences"}


def test_an_incomplete_grid_has_no_effects(tmp_path: Path) -> None:
    whole(tmp_path, {name: FOUR[name] for name in (SOFTMAX, CRF, CNN)})
    assert set(drawings(found(tmp_path), differences, main_effects, interactions)) == {"differences"}


def test_without_a_finished_run_nothing_is_drawn(tmp_path: Path) -> None:
    write_plan(tmp_path, [job(CNN, 1)])
    write_run(tmp_path / CNN / "seed=1", metrics(1, status="failed", failure="loss is nan"), wrong=[0])
    assert drawings(found(tmp_path)) == {}


def test_runs_of_one_epoch_have_no_curve(tmp_path: Path) -> None:
    grid(tmp_path, {CNN: [70, 71]})
    assert drawings(found(tmp_path), learning_curves) == {}


def test_a_report_about_dev_draws_dev(tmp_path: Path) -> None:
    for seed, name in ((1, SOFTMAX), (1, CRF)):
        write_run(tmp_path / name / f"seed={seed}", metrics(seed, dev=80.0 + len(name), test=None))
    write_plan(tmp_path, [job(SOFTMAX, 1), job(CRF, 1)])
    made = drawings(found(tmp_path))
    assert set(made) == {"seeds", "differences", "f1_by_type"}
    assert marks(made["seeds"].figure, f"dev {SOFTMAX}") == [(80.0 + len(SOFTMAX), 0)]
    assert "dev F1" in made["differences"].figure.axes[0].get_xlabel()


def test_plots_left_out_now_are_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    grid(tmp_path / "study", {CNN: [70]})
    for name in ("transitions.svg", "transitions.png", "mine.svg"):
        (tmp_path / name).write_text("old")
    figures = draw(found(tmp_path / "study"), tmp_path)
    written = {f"{figure.name}.{kind}" for figure in figures for kind in ("svg", "png")}
    assert {path.name for path in tmp_path.iterdir()} == written | {"study", "mine.svg"}


# files


def texts(path: Path) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.parse(path).iter(f"{SVG}text")]


def test_svg_files_are_well_formed_and_their_text_is_text(written: list[Figure]) -> None:
    for figure in written:
        assert ElementTree.parse(figure.svg).getroot().tag == f"{SVG}svg"
        assert len(texts(figure.svg)) > 3, figure.name


def test_plots_name_configurations_and_units(written: list[Figure]) -> None:
    said = {figure.name: " ".join(texts(figure.svg)) for figure in written}
    for name in ("seeds", "curves_epochs", "curves_time", "f1_by_type", "f1_by_oov", "mistakes"):
        for label in ("no char encoder", "cnn + softmax", "cnn + crf"):
            assert label in said[name], (name, label)
    assert "F1 (%)" in said["seeds"]
    assert "test F1 (%)" in said["cost"]
    assert "dev F1 (%)" in said["curves_epochs"]
    assert "training time (s)" in said["curves_time"]
    assert "share of the gold row (%)" in said["confusion"]
    assert "(points)" in said["differences"]
    for name in ("main_effects", "interactions"):
        assert all(
            word in said[name] for word in ("char encoder", "decoder", "none", "cnn", "softmax", "crf", "F1 (%)")
        )
    assert all(tag in said["transitions"] for tag in (*TAGS, "start", "end", "before training", "after training"))


def test_png_files_have_their_size_and_something_on_them(written: list[Figure], drawn: dict[str, Drawing]) -> None:
    for figure in written:
        width, height = drawn[figure.name].figure.get_size_inches()
        pixels = imread(figure.png)
        assert pixels.shape[:2] == (round(height * DPI), round(width * DPI)), figure.name
        ink = (pixels[..., :3].min(axis=2) < 0.9).mean()
        assert 0.002 < ink < 0.8, figure.name


def test_the_same_study_gives_the_same_bytes(study: Findings, written: list[Figure], tmp_path: Path) -> None:
    first = {figure.name: figure for figure in written}
    with page():
        for plot in (cost, kinds, transitions):
            for drawing in plot(study):
                again = write(drawing, tmp_path)
                assert again.svg.read_bytes() == first[again.name].svg.read_bytes()
                assert again.png.read_bytes() == first[again.name].png.read_bytes()


def test_the_users_settings_change_no_plot_and_are_kept(study: Findings, written: list[Figure], tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 31, "lines.linewidth": 9, "svg.fonttype": "path", "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        with page():
            again = write(next(differences(study)), tmp_path)
        assert dict(matplotlib.rcParams) == before
    assert again.svg.read_bytes() == next(figure for figure in written if figure.name == again.name).svg.read_bytes()


def test_names_with_signs_of_markup_and_mathematics_are_written_as_they_are(tmp_path: Path) -> None:
    name = "<b> & $x_1$ 'CRF' 東京"
    rows_study(tmp_path / "study", [name, "other"])
    (drawing,) = drawings(found(tmp_path / "study"), seeds).values()
    with page():
        assert any(name in text for text in texts(write(drawing, tmp_path).svg))


# F1 of every seed, differences


def test_every_seed_is_a_dot_at_its_score(study: Findings, drawn: dict[str, Drawing]) -> None:
    axes = drawn["seeds"].figure.axes[0]
    for at, (name, values) in enumerate(FOUR.items()):
        for split, more in (("test", 0), ("dev", 10)):
            points = marks(drawn["seeds"].figure, f"{split} {name}")
            assert [x for x, _ in points] == [value + more for value in values]
            assert all(abs(y - at) < 0.5 for _, y in points)
        summary = row(study, name).f1["test"]
        height = marks(drawn["seeds"].figure, f"test {name}")[0][1]
        assert [[summary.low, height], [summary.high, height]] in unnamed(axes)
        assert any(
            line[0][0] == line[1][0] == summary.mean and line[0][1] < height < line[1][1] for line in unnamed(axes)
        )


def test_failed_runs_are_no_points_and_are_counted(tmp_path: Path) -> None:
    grid(tmp_path, {SOFTMAX: [60, 61], CRF: [65]})
    write_plan(tmp_path, [job(SOFTMAX, 1), job(SOFTMAX, 2), job(CRF, 1), job(CRF, 2)])
    write_run(tmp_path / CRF / "seed=2", metrics(2, dev=3, test=2, status="failed", failure="loss is nan"))
    made = drawings(found(tmp_path))
    assert [x for x, _ in marks(made["seeds"].figure, f"test {CRF}")] == [65]
    labels = [label.get_text() for label in made["seeds"].figure.axes[0].get_yticklabels()]
    assert labels[1].endswith("\n1 seed, 1 failed")
    assert "Failed runs" in made["seeds"].caption
    assert marks(made["differences"].figure, f"difference {CRF}") == [(4.5, 0)]
    assert all(axes.get_xlim()[0] > 50 for axes in made["seeds"].figure.axes)


def test_published_figures_are_diamonds_with_their_source(tmp_path: Path) -> None:
    stated = {
        CNN: [{"source": "Ma & Hovy 2016, table 3", "test": 91.21, "dev": 94.74}],
        BOTH: [{"source": "S", "test": 90}],
    }
    grid(tmp_path, FOUR, published=stated)
    (drawing,) = drawings(found(tmp_path), seeds).values()
    assert [x for x, _ in marks(drawing.figure, f"published test {CNN}")] == [91.21]
    assert [x for x, _ in marks(drawing.figure, f"published dev {CNN}")] == [94.74]
    assert marks(drawing.figure, f"published dev {BOTH}") == []
    assert "Ma & Hovy 2016, table 3; S." in drawing.caption


def test_differences_stand_where_they_are_and_say_so(tmp_path: Path) -> None:
    grid(tmp_path, {SOFTMAX: [60.0, 62.0, 64.0], CRF: [60.5, 62.0, 65.0], CNN: [70.0, 71.0, 72.0]})
    findings = found(tmp_path)
    figure = drawings(findings, differences)["differences"].figure
    by_name = {comparison.row.name: comparison for comparison in findings.comparisons}
    for at, name in enumerate((CRF, CNN)):
        comparison = by_name[name]
        assert marks(figure, f"difference {name}") == [(comparison.difference, at)]
        assert [[comparison.low, at], [comparison.high, at]] in unnamed(figure.axes[0])
        (dot,) = lines(figure, f"difference {name}")
        assert (dot.get_markerfacecolor() == "white") == (comparison.low < 0 < comparison.high)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said[1].startswith("+9.00  (+")
    assert {lines(figure, f"difference {name}")[0].get_markerfacecolor() == "white" for name in (CRF, CNN)} == {
        True,
        False,
    }


# factors


def test_a_main_effect_is_the_mean_over_configurations(drawn: dict[str, Drawing]) -> None:
    figure = drawn["main_effects"].figure
    assert marks(figure, "effect char_encoder") == [(0, 64), (1, 72.5)]
    assert marks(figure, "effect decoder") == [(0, 66.5), (1, 70)]
    circles = [point for line in unnamed(figure.axes[0]) for point in line]
    assert sorted(y for _, y in circles) == [62, 66, 71, 74]
    assert all(round(x) == (y > 70) for x, y in circles)


def boxes(axes: Axes) -> list[Bbox]:
    return [note.get_window_extent().padded(-1) for note in axes.texts if isinstance(note, Annotation)]


def test_values_of_main_effects_stand_beside_their_line(drawn: dict[str, Drawing]) -> None:
    for axes in drawn["main_effects"].figure.axes:
        (line,) = (line for line in axes.get_lines() if str(line.get_gid()).startswith("effect"))
        path = line.get_path().interpolated(100).transformed(axes.transData)
        assert len(axes.texts) == 2
        for note, mean in zip(sorted(axes.texts, key=lambda note: note.xy[0]), line.get_ydata(), strict=True):
            assert note.get_text() == f"{mean:.2f}"
        for box in boxes(axes):
            assert not any(box.contains(x, y) for x, y in path.vertices)


def test_an_interaction_has_a_line_for_each_level_of_the_factor_with_fewer(tmp_path: Path) -> None:
    cells = {
        f"char_encoder={letters},decoder={decoder}": [
            60.0 + 3 * i + 5 * j + 2 * i * j,
            61.0 + 3 * i + 5 * j + 2 * i * j,
        ]
        for i, letters in enumerate(("none", "cnn", "bilstm"))
        for j, decoder in enumerate(("softmax", "crf"))
    }
    figure = drawings(found(grid(tmp_path, cells)), interactions)["interactions"].figure
    (axes,) = figure.axes
    series = {
        str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines() if line.get_marker() != "None"
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "cnn", "bilstm"]
    assert series["softmax"][:, 1].tolist() == [60.5, 63.5, 66.5]
    assert series["crf"][:, 1].tolist() == [65.5, 70.5, 75.5]
    assert all(np.array_equal(np.rint(line[:, 0]), [0, 1, 2]) for line in series.values())
    assert {text.get_text() for text in axes.texts} == {"softmax", "crf"}


# learning curves


def run_history(f1: Sequence[float], seconds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.arange(1.0, len(f1) + 1), seconds * np.arange(1.0, len(f1) + 1), np.array(f1)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.floats(0, 100), min_size=1, max_size=6), st.floats(0.5, 50)), min_size=1, max_size=4)
)
def test_a_curve_is_the_mean_of_every_epoch_that_all_runs_reached(runs: list[tuple[list[float], float]]) -> None:
    histories = [run_history(f1, seconds) for f1, seconds in runs]
    shared = min(len(f1) for f1, _ in runs)
    epochs, times = over_epochs(histories), over_time(histories, 60.0)
    for at in range(shared):
        values = [f1[at] for f1, _ in runs]
        assert epochs.x[at] == at + 1
        assert times.x[at] == pytest.approx(sum(seconds * (at + 1) for _, seconds in runs) / len(runs) / 60)
        for curve in (epochs, times):
            assert curve.mean[at] == pytest.approx(sum(values) / len(values))
            assert (curve.low[at], curve.high[at]) == (min(values), max(values))
    longer = [(f1, seconds) for f1, seconds in runs if len(f1) > shared]
    for curve, place in ((epochs, lambda at, _: at), (times, lambda at, seconds: at * seconds / 60)):
        assert len(curve.x) == len(curve.mean) == shared
        assert [tail.tolist() for _, tail in curve.tails] == [f1[shared - 1 :] for f1, _ in longer]
        for (x, _), (f1, seconds) in zip(curve.tails, longer, strict=True):
            assert x == pytest.approx([place(at, seconds) for at in range(shared, len(f1) + 1)])


def test_runs_without_a_common_epoch_have_no_mean() -> None:
    even, odd = (np.array([2.0, 4.0]),) * 3, (np.array([1.0, 3.0]),) * 3
    for curve in (over_epochs([even, odd]), over_time([even, odd])):
        assert len(curve.mean) == 0
        assert [f1.tolist() for _, f1 in curve.tails] == [[2, 4], [1, 3]]


def test_curves_are_drawn_at_the_means_with_the_band_of_all_seeds(drawn: dict[str, Drawing]) -> None:
    for at, (name, values) in enumerate(FOUR.items()):
        mean = sum(values) / len(values)
        by_epoch = marks(drawn["curves_epochs"].figure, f"curve {name}")
        assert by_epoch == [(1, mean - 5), (2, mean + 2), (3, mean + 10)]
        by_time = marks(drawn["curves_time"].figure, f"curve {name}")
        assert by_time == [((10 + at) * epoch, f1) for epoch, f1 in by_epoch]
        for figure in (drawn["curves_epochs"].figure, drawn["curves_time"].figure):
            band = np.asarray(figure.axes[0].collections[at].get_paths()[0].vertices)[:, 1]
            assert (band.min(), band.max()) == (min(values) - 5, max(values) + 10)


@pytest.mark.parametrize("last", [2, 5, 24, 130])
def test_the_axis_of_epochs_has_whole_epochs_only(tmp_path: Path, last: int) -> None:
    rows_study(tmp_path, ["a"], history=history(np.linspace(50, 90, last).tolist()))
    axes = drawings(found(tmp_path), learning_curves)["curves_epochs"].figure.axes[0]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert len(ticks) > 1
    assert all(tick == int(tick) and tick >= 1 for tick in ticks)


def test_captions_of_curves_tell_of_seeds_that_went_on(tmp_path: Path) -> None:
    rows_study(tmp_path, ["a"], seeds=2)
    assert "went on" not in drawings(found(tmp_path), learning_curves)["curves_time"].caption
    run = tmp_path / "row=r0" / "seed=2" / "metrics.json"
    content = json.loads(run.read_text())
    run.write_text(json.dumps({**content, "history": history([52, 60, 61, 64, 65])}))
    made = drawings(found(tmp_path), learning_curves)
    assert all("thin lines are the seeds that went on" in drawing.caption for drawing in made.values())
    assert [[3, 61], [4, 64], [5, 65]] in unnamed(made["curves_epochs"].figure.axes[0])


def test_a_low_first_epoch_is_cut_off_and_the_caption_says_so(tmp_path: Path) -> None:
    rows_study(tmp_path, ["a"], history=history([1, 88, 89, 90, 90.5, 91, 91.2, 91.3, 91.3]))
    made = drawings(found(tmp_path), learning_curves)
    for drawing in made.values():
        assert drawing.figure.axes[0].get_ylim()[0] > 50
        assert "first epochs lie below" in drawing.caption
    again = tmp_path / "again"
    rows_study(again, ["a"], history=history([60, 70, 80, 90]))
    for drawing in drawings(found(again), learning_curves).values():
        assert drawing.figure.axes[0].get_ylim()[0] < 60
        assert "below" not in drawing.caption


def test_many_curves_of_a_grid_are_parted_by_a_factor(tmp_path: Path) -> None:
    cells = {f"char_encoder=c{i},decoder=d{j}": [60.0 + i + j] for i in range(4) for j in range(3)}
    findings = found(whole(tmp_path, cells))
    panels = panels_of(findings, findings.rows)
    assert [panel.title for panel in panels] == [f"char encoder: c{i}" for i in range(4)]
    assert [row.name for panel in panels for row in panel.rows] == list(cells)
    assert all(list(panel.names) == ["d0", "d1", "d2"] for panel in panels)
    figure = drawings(findings, learning_curves)["curves_epochs"].figure
    for axes, panel in zip(figure.axes, panels, strict=False):
        assert {line.get_gid() for line in axes.get_lines()} == {f"curve {row.name}" for row in panel.rows}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["d2", "d1", "d0"]


def test_many_curves_of_rows_get_a_panel_each_beside_the_baseline(tmp_path: Path) -> None:
    findings = found(rows_study(tmp_path, [f"row {at}" for at in range(9)]))
    drawing = drawings(findings, learning_curves)["curves_epochs"]
    used = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in used] == [f"row {at}" for at in range(9)]
    assert [len(axes.get_lines()) for axes in used] == [1] + [2] * 8
    assert "Dotted: the baseline, row 0." in drawing.caption


# cost


def test_cost_is_drawn_at_parameters_and_mean_time(drawn: dict[str, Drawing]) -> None:
    for at, (name, values) in enumerate(FOUR.items()):
        mean = sum(values) / 3
        assert marks(drawn["cost"].figure, f"cost {name}") == [(900 + 100 * at, mean), (42 + 10 * at, mean)]


def test_values_far_apart_get_a_logarithmic_axis(tmp_path: Path) -> None:
    rows_study(tmp_path, ["a", "b"])
    assert {axes.get_xscale() for axes in drawings(found(tmp_path), cost)["cost"].figure.axes} == {"linear"}
    run = tmp_path / "row=r1" / "seed=1" / "metrics.json"
    run.write_text(run.read_text().replace('"all": 1040', '"all": 104000'))
    assert [axes.get_xscale() for axes in drawings(found(tmp_path), cost)["cost"].figure.axes] == ["log", "linear"]


def read(text: str) -> float:
    units = {"k": 1e3, "M": 1e6, "G": 1e9}
    return float(text.rstrip("kMG")) * units.get(text[-1], 1)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.001, 3e10), st.floats(1e-4, 10))
def test_ticks_say_exactly_where_they_stand(low: float, width: float) -> None:
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, low * (1 + width)).tolist()
    said = ShortNumbers().format_ticks(ticks)
    assert [read(text) for text in said] == pytest.approx(ticks, rel=1e-9, abs=1e-9 * low)
    assert len(set(said)) == len(ticks)
    assert len({len(text.partition(".")[2]) for text in said if text != "0"}) == 1


def test_close_numbers_of_parameters_are_told_apart() -> None:
    assert ShortNumbers().format_ticks([2.85e6, 2.875e6, 2.9e6]) == ["2.850M", "2.875M", "2.900M"]
    assert ShortNumbers().format_ticks([0, 5e5, 1e6]) == ["0", "0.5M", "1.0M"]
    assert ShortNumbers(each_its_own=True).format_ticks([3e5, 1e6, 3e6]) == ["300k", "1M", "3M"]


# parts


def test_f1_of_each_type_with_gold_entities_is_drawn(study: Findings, drawn: dict[str, Drawing]) -> None:
    figure = drawn["f1_by_type"].figure
    assert [axes.get_title(loc="left").strip() for axes in figure.axes] == ["LOC", "PER"]  # MISC has no gold entity
    for at, name in enumerate(FOUR):
        for kind in ("LOC", "PER"):
            assert marks(figure, f"{kind} {name}") == [(row(study, name).per_type["test"][kind].mean, at)]


def test_f1_of_each_class_of_words_is_drawn_with_its_interval(study: Findings, drawn: dict[str, Drawing]) -> None:
    figure = drawn["f1_by_oov"].figure
    assert [axes.get_title(loc="left").strip() for axes in figure.axes] == ["IV", "OOBV"]
    assert marks(figure, f"IV {CNN}") == [(80, 2)]
    assert marks(figure, f"OOBV {CNN}") == [(40, 2)]
    summary = row(study, CNN).oov["test"]["OOBV"]
    assert [[summary.low, 2], [summary.high, 2]] in unnamed(figure.axes[1])


def test_f1_by_length_is_counted_from_the_predictions(tmp_path: Path) -> None:
    write_run(tmp_path / CNN / "seed=1", metrics(1), wrong=[0])  # loses an entity of 2 tokens and one of 1
    write_plan(tmp_path, [job(CNN, 1)])
    made = drawings(found(tmp_path), by_lengths)
    assert marks(made["f1_by_entity_length"].figure, f"2 {CNN}") == [(span_scores(1, 1, 2)["f1"], 0)]
    assert marks(made["f1_by_entity_length"].figure, f"1 {CNN}") == [(span_scores(4, 4, 5)["f1"], 0)]
    titles = [axes.get_title(loc="left").strip() for axes in made["f1_by_entity_length"].figure.axes]
    assert titles == ["1 token", "2 tokens"]
    assert list(made) == ["f1_by_entity_length"]  # all sentences have 1-5 tokens


@given(st.floats(-3, 100), st.floats(0.05, 100))
@settings(max_examples=60, deadline=None)
def test_few_ticks_are_round_evenly_apart_and_within_the_limits(low: float, width: float) -> None:
    ticks = few_ticks(low, low + width)
    assert 2 <= len(ticks) <= 3
    assert low - 1e-9 <= ticks[0]
    assert ticks[-1] <= low + width + 1e-9
    assert np.ptp(np.diff(ticks)) < 1e-6
    assert ticks[-1] - ticks[0] >= width / 5
    assert all(len(f"{tick:.10g}") <= 5 for tick in ticks)


@pytest.mark.parametrize(("middle", "half"), [(90.0, 0.3), (88.7, 0.9), (87.2, 4.0), (99.5, 0.7), (60.0, 30.0)])
def test_numbers_below_panels_do_not_run_into_one_another(tmp_path: Path, middle: float, half: float) -> None:
    for at, name in enumerate((SOFTMAX, CRF)):
        content = metrics(test=70)
        scores = {kind: {**span_scores(8, 10, 10), "f1": middle - half + 2 * at * half} for kind in "ABCDE"}
        write_run(tmp_path / name / "seed=1", {**content, "test": {**content["test"], "per_type": scores}})
    write_plan(tmp_path, [job(SOFTMAX, 1), job(CRF, 1)])
    figure = drawings(found(tmp_path), by_type)["f1_by_type"].figure
    with page():
        settle(figure)
        shown = [
            label.get_window_extent()
            for axes in figure.axes
            for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]
        ]
    assert len(figure.axes) == 5
    assert len(shown) >= 10
    assert not any(one.overlaps(other) for one, other in combinations(shown, 2))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text("abc", min_size=1), st.lists(st.floats(0, 100), min_size=1, max_size=5), min_size=1, max_size=4
    )
)
def test_panels_of_parts_are_of_one_width_and_hold_their_scores(parts: dict[str, list[float]]) -> None:
    limits = same_width({part: [Summary((value,)) for value in values] for part, values in parts.items()})
    widths = [high - low for low, high in limits.values()]
    assert widths == pytest.approx([widths[0]] * len(widths))
    assert all(limits[part][0] <= value <= limits[part][1] for part, values in parts.items() for value in values)


# mistakes


WORDS = ["w"] * 6
WRONG = [
    Prediction(WORDS, [Span("LOC", 0, 1), Span("PER", 2, 4)], [Span("ORG", 0, 1), Span("PER", 2, 5)]),
    Prediction(WORDS, [Span("LOC", 0, 2), Span("PER", 3, 4)], [Span("ORG", 0, 1), Span("LOC", 5, 6)]),
]


def test_mistakes_are_counted_by_kind_and_averaged_over_runs() -> None:
    assert mean_kinds([WRONG]) == dict.fromkeys(KINDS, 1)
    assert mean_kinds([WRONG, []]) == dict.fromkeys(KINDS, 0.5)


def test_bars_of_mistakes_are_as_long_as_their_number(drawn: dict[str, Drawing]) -> None:
    axes = drawn["mistakes"].figure.axes[0]
    missed = axes.containers[KINDS.index("missed")]
    lost = [2, 2, 0, 2, 1]  # entities of each sentence; none is found in those that are wrong
    expected = [sum(sum(lost[wrong] for wrong in {at, seed}) for seed in (1, 2, 3)) / 3 for at in range(4)]
    assert [bar.get_width() for bar in missed] == pytest.approx(expected)
    others = [bar.get_width() for at, bars in enumerate(axes.containers) if KINDS[at] != "missed" for bar in bars]
    assert set(others) == {0}


def test_the_confusion_is_that_of_the_mean_run() -> None:
    labels, counts = mean_confusion([WRONG, [Prediction(WORDS, [Span("PER", 0, 1)], [Span("PER", 0, 1)])]])
    assert labels == ["LOC", "ORG", "PER", "O"]
    assert counts.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0.5], [0.5, 0, 0, 0]]


def test_cells_of_the_confusion_have_their_share_and_number(tmp_path: Path) -> None:
    for seed, wrong in ((1, [0]), (2, [0, 1])):
        write_run(tmp_path / CNN / f"seed={seed}", metrics(seed), wrong=wrong)
    write_plan(tmp_path, [job(CNN, 1), job(CNN, 2)])
    axes = drawings(found(tmp_path), confusion)["confusion"].figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["LOC", "ORG", "PER", "O"]
    assert cells[(0, 0)] == "50.0\n2"  # 1.5 of 3 LOC, which is written as a whole number
    assert cells[(3, 0)] == "50.0\n2"
    assert cells[(2, 0)] == "0"
    assert cells[(2, 2)] == "66.7\n2"
    assert axes.images[0].get_array()[0, 0] == 50


def test_the_confusion_is_that_of_the_baseline_and_the_best_on_dev(drawn: dict[str, Drawing]) -> None:
    titles = [axes.get_title(loc="left").replace("\n", " ") for axes in drawn["confusion"].figure.axes[:2]]
    assert titles == ["no char encoder + softmax (baseline) 3 seeds", "cnn + crf (best on dev) 3 seeds"]


# transitions


def test_transitions_are_means_over_seeds_of_the_best_on_dev(drawn: dict[str, Drawing]) -> None:
    before, after = drawn["transitions"].figure.axes[:2]
    assert all((image.get_array() == 0).all() for image in before.images[1::2])
    assert all((image.get_array() == 2).all() for image in after.images[1::2])  # seeds 1, 2, 3
    assert [image.get_array().shape for image in after.images[1::2]] == [(1, 3), (3, 3), (3, 1)]
    assert "of cnn + crf, mean of 3 seeds" in drawn["transitions"].caption


def test_transitions_go_from_rows_to_columns_and_the_colours_are_as_the_caption_says(tmp_path: Path) -> None:
    scores = scored_transitions(after=0.0)
    scores["matrix"] = {**scores["matrix"], "after": [[0, 3, -3], [0, 0, 0], [0, 0, 0]]}
    write_run(tmp_path / CNN / "seed=1", metrics(1, transitions=scores))
    write_plan(tmp_path, [job(CNN, 1)])
    drawing = drawings(found(tmp_path), transitions)["transitions"]
    image = drawing.figure.axes[1].images[3]
    assert image.get_array()[0].tolist() == [0, 3, -3]
    assert [label.get_text() for label in drawing.figure.axes[1].get_xticklabels()] == [*TAGS, "end"]
    (_, raised, lowered), zero = image.to_rgba(image.get_array())[0], image.to_rgba(np.zeros((1, 1)))[0, 0]
    assert raised[2] > raised[0] > raised[1]  # purple
    assert lowered[0] > lowered[1] > lowered[2]  # orange
    assert zero[:3].min() > 0.95
    assert "Purple raises, orange lowers" in drawing.caption


def test_the_tags_of_a_large_set_do_not_cover_each_other(tmp_path: Path) -> None:
    tags = ["O", *(f"{place}-TYPE{number}" for number in range(18) for place in "BIES")]
    write_run(tmp_path / CNN / "seed=1", metrics(1, transitions=scored_transitions(tags=tags)))
    write_plan(tmp_path, [job(CNN, 1)])
    with page():
        (drawing,) = transitions(found(tmp_path))
        settle(drawing.figure)
        names = [label.get_window_extent() for label in drawing.figure.axes[0].get_yticklabels()]
    assert len(names) == len(tags) + 1
    assert all(above.y0 > below.y0 + 0.8 * below.height for above, below in pairwise(names))


def test_barred_moves_are_neither_weighed_nor_coloured(tmp_path: Path) -> None:
    barred = scored_transitions(after=1.0)
    barred["matrix"]["after"] = [[1, 1, -10000], [1, 1, 1], [1, 1, 1]]
    assert np.isnan(mean_scores([barred, barred], "after").matrix).tolist()[0] == [False, False, True]
    write_run(tmp_path / CNN / "seed=1", metrics(1, transitions=barred))
    write_plan(tmp_path, [job(CNN, 1)])
    drawing = drawings(found(tmp_path), transitions)["transitions"]
    assert drawing.figure.axes[1].images[3].norm.vmax == 1
    assert "Grey moves are barred." in drawing.caption


# captions


def test_captions_say_how_many_seeds_and_what_bars_mean(drawn: dict[str, Drawing]) -> None:
    for name, drawing in drawn.items():
        if name != "confusion":  # which says so above each panel
            assert "3 seeds" in drawing.caption, name
    with_bars = set(NAMES) - {"main_effects", "curves_epochs", "curves_time", "mistakes", "confusion", "transitions"}
    for name in with_bars:
        assert re.search(r"(Bars|Lines|Upright lines) are 95 % bootstrap intervals", drawn[name].caption), name
    assert all(
        "Bands reach from the lowest to the highest seed" in drawn[f"curves_{over}"].caption
        for over in ("epochs", "time")
    )
    assert "end of that epoch; both are the mean of 3 seeds, epoch by epoch" in drawn["curves_time"].caption


def test_one_seed_promises_no_bars(tmp_path: Path) -> None:
    made = drawings(found(whole(tmp_path, {name: values[:1] for name, values in FOUR.items()})))
    for name, drawing in made.items():
        assert not re.search("95 %|Bands", drawing.caption), name
    assert "One seed gives no interval." in made["differences"].caption


# looks


def test_colours_are_safe_and_each_line_differs_in_more_than_colour(tmp_path: Path, drawn: dict[str, Drawing]) -> None:
    whole(tmp_path, {f"char_encoder=c{i},decoder=d{j}": [60.0 + i + j] for i in range(2) for j in range(4)})
    for figure in (drawn["curves_epochs"].figure, drawings(found(tmp_path), learning_curves)["curves_epochs"].figure):
        curves = [line for line in figure.axes[0].get_lines() if str(line.get_gid()).startswith("curve")]
        assert len(curves) in (4, 8)
        assert {line.get_color() for line in curves} <= OKABE_ITO
        # a dashed line's pattern is what get_linestyle does not tell
        assert len({(line.get_marker(), str(line._unscaled_dash_pattern)) for line in curves}) == len(curves)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 6))
def test_looks_of_a_grid_are_told_apart_with_and_without_colour(first: int, second: int) -> None:
    levels = [[i for i in range(first) for _ in range(second)], [j for _ in range(first) for j in range(second)]]
    factors = [[f"level {level}" for level in of] for of in levels]
    made = list(looks([f"{i} {j}" for i, j in zip(*levels, strict=True)], factors).values())
    assert {look.colour for look in made} <= OKABE_ITO
    assert len({(look.marker, str(look.dashes)) for look in made}) == first * second
    assert len({(look.colour, look.marker) for look in made}) == first * second
    assert len({(i, look.colour) for i, look in zip(levels[0], made, strict=True)}) == first
    assert len({(j, str(look.dashes)) for j, look in zip(levels[1], made, strict=True)}) == second


def test_looks_of_a_grid_of_three_factors_are_told_apart() -> None:
    cells = list(product("abc", "de", "fg"))
    made = looks([" ".join(cell) for cell in cells], [list(levels) for levels in zip(*cells, strict=True)])
    assert len({(look.colour, look.marker) for look in made.values()}) == len(cells)
    assert len({look.colour for look in made.values()}) == 3


def test_looks_of_many_rows_are_told_apart() -> None:
    made = list(looks([str(at) for at in range(40)]).values())
    assert {look.colour for look in made} <= OKABE_ITO
    assert len({(look.marker, str(look.dashes)) for look in made}) == 40
    assert len({(look.colour, look.marker) for look in made}) == 40


# names


@settings(max_examples=60, deadline=None)
@given(st.text("ab c,/_+-", max_size=60), st.integers(3, 30))
def test_wrapped_names_keep_their_letters_within_the_width(text: str, width: int) -> None:
    found_lines = wrapped(text, width).split("\n")
    assert "".join(found_lines).replace(" ", "") == text.replace(" ", "")
    assert all(len(line) <= width for line in found_lines)


def test_names_are_broken_between_words() -> None:
    assert wrapped("BLSTM-CNN + lexicon features", 14) == "BLSTM-CNN +\nlexicon\nfeatures"
    assert wrapped("conformer_of_letters", 14) == "conformer_of_\nletters"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.floats(0.1, 20))
def test_names_at_the_ends_of_lines_are_moved_apart_in_their_order(places: list[float], least: float) -> None:
    moved = spread(places, least)
    in_order = [moved[at] for at in sorted(range(len(places)), key=lambda at: places[at])]
    assert all(high - low >= least - 1e-6 for low, high in pairwise(in_order))
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6)
    if all(abs(one - other) >= least for one, other in combinations(places, 2)):
        assert moved == pytest.approx(places)


def test_names_beside_points_cover_no_point_and_no_other_name() -> None:
    points = [(0.0, 0.0), (0.02, 0.01), (0.5, 0.5), (1.0, 1.0), (0.98, 0.52)]
    with page():
        figure = new_figure(3)
        axes = figure.subplots()
        axes.set(xlim=(-0.05, 1.05), ylim=(-0.1, 1.1))
        label_points(axes, points, ["bilstm + crf", "cnn + softmax", "none", "a longer name", "cnn + crf"])
        names = boxes(axes)
        inside = axes.get_window_extent()
    assert len(names) == 5
    for box in names:
        assert not any(box.contains(*axes.transData.transform(point)) for point in points)
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1
    assert not any(one.overlaps(other) for one, other in combinations(names, 2))


def long_names(folder: Path) -> Findings:
    """Rows with names of several lines."""
    labels = [
        f"BLSTM-CNN + emb {at} + lexicon features with exact and partial matching, dropout 0.5" for at in range(6)
    ]
    labels.append("a_name_of_one_word_that_has_no_blank_to_be_broken_at")
    return found(rows_study(folder, labels, seeds=2, transitions=scored_transitions()))


def many_rows(folder: Path) -> Findings:
    """More rows than can be told apart in one panel or named beside their points."""
    return found(rows_study(folder, [f"row {at}" for at in range(12)]))


def many_levels(folder: Path) -> Findings:
    """A grid, one of its levels with a long name."""
    cells = product(("none", "cnn", "conformer_of_letters", "bilstm"), ("softmax", "crf", "memm"))
    return found(whole(folder, {f"char_encoder={one},decoder={two}": [60.0] for one, two in cells}))


@pytest.mark.parametrize(
    ("study_of", "plots"),
    [
        (long_names, (seeds, differences, learning_curves, cost, by_type, kinds, confusion, transitions)),
        (many_rows, (learning_curves, cost)),
        (many_levels, (main_effects, interactions, learning_curves, cost)),
    ],
)
def test_nothing_leaves_the_page(
    tmp_path: Path, study_of: Callable[[Path], Findings], plots: Sequence[Callable[[Findings], Iterator[Drawing]]]
) -> None:
    for name, drawing in drawings(study_of(tmp_path), *plots).items():
        with page():
            if drawing.figure.get_layout_engine() is not None:
                settle(drawing.figure)
            box = drawing.figure.get_tightbbox()
        width, height = drawing.figure.get_size_inches()
        assert box.x0 > -0.03, name
        assert box.y0 > -0.03, name
        assert box.x1 < width + 0.03, name
        assert box.y1 < height + 0.03, name
