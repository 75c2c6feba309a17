"""The page says what the markdown says, holds all it needs, and shows what is written in it as it is."""

import base64
from html.parser import HTMLParser
from pathlib import Path

from made_study import FOUR, grid, job, metrics, write_plan, write_run

from ner_lab.reporting.analysis import find
from ner_lab.reporting.plots.style import Figure
from ner_lab.reporting.render_html import page
from ner_lab.reporting.sections import report_document
from ner_lab.reporting.study_runs import collect

CRF, BOTH = list(FOUR)[1], list(FOUR)[3]
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Elements with their attributes and texts; open and closed ones must match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1], data.strip()))

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def plot(folder: Path, name: str = "seeds") -> Figure:
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg"><text>dots</text></svg>')
    png.write_bytes(b"\x89PNG")
    return Figure(name, "F1 of every <seed>", 'Dots & "bars".', svg, png)


def read(folder: Path, figures: list[Figure]) -> Reader:
    return Reader(page(report_document(find(collect(folder), rounds=50), figures)))


def test_the_page_has_every_cell_of_every_table(tmp_path: Path) -> None:
    folder = grid(tmp_path, FOUR, published={BOTH: [{"test": 75.5, "source": "Somebody & others"}]})
    findings = find(collect(folder), rounds=50)
    reader = Reader(page(report_document(findings)))
    tables = [table for section in report_document(findings).sections for table in section.tables]
    assert [text for tag, text in reader.texts if tag == "td"] == [
        cell.text for table in tables for row in table.rows for cell in row
    ]
    assert [text for tag, text in reader.texts if tag == "button"] == [
        head for table in tables for head in table.header
    ]
    assert ("h1", "letters") in reader.texts
    assert ("p", "Do letters help?") in reader.texts


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    reader = read(grid(tmp_path, FOUR), [plot(tmp_path)])
    assert reader.of("link") == []
    assert [attributes for attributes in reader.of("script") if attributes] == []
    places = [attributes["href"] for attributes in reader.of("a")]
    anchors = {attributes["id"] for _, attributes in reader.elements if "id" in attributes}
    assert places
    assert all(place.startswith("#") and place[1:] in anchors for place in places)
    assert all(attributes["src"].startswith("data:") for attributes in reader.of("img"))


def test_every_section_can_be_reached_from_the_head(tmp_path: Path) -> None:
    findings = find(collect(grid(tmp_path, FOUR)), rounds=50)
    reader = Reader(page(report_document(findings)))
    headings = [attributes["id"] for attributes in reader.of("h2")]
    assert headings == [section.anchor for section in report_document(findings).sections]
    assert len(set(headings)) == len(headings)
    assert {f"#{heading}" for heading in headings} <= {attributes["href"] for attributes in reader.of("a")}


def test_plots_are_within_the_page_with_words_for_those_who_do_not_see_them(tmp_path: Path) -> None:
    figures = [plot(tmp_path, "seeds"), plot(tmp_path, "one_more")]
    figures[1].svg.unlink()
    reader = read(grid(tmp_path / "study", FOUR), figures)
    first, second = reader.of("img")
    kind, _, content = first["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content) == figures[0].svg.read_bytes()
    assert second["src"].startswith("data:image/png;base64,")
    assert first["alt"] == 'F1 of every <seed>. Dots & "bars".'
    assert [text for tag, text in reader.texts if tag == "figcaption"] == ['Dots & "bars".'] * 2


def test_names_are_shown_as_they_are_written(tmp_path: Path) -> None:
    label = '<script>alert("x")</script> & `code`'
    for name in (CRF, BOTH):
        write_run(tmp_path / name / "seed=1", metrics(1))
    write_plan(tmp_path, [job(CRF, 1, label), job(BOTH, 1, "other")], name="<b>study</b>", question="a < b?")
    reader = read(tmp_path, [])
    assert len(reader.of("script")) == 1
    assert reader.of("b") == []
    assert ("td", label) in reader.texts
    assert ("h1", "<b>study</b>") in reader.texts


def test_columns_of_numbers_carry_the_numbers_to_sort_by(tmp_path: Path) -> None:
    reader = read(grid(tmp_path, FOUR), [])
    values = [float(attributes["data-value"]) for attributes in reader.of("td") if "data-value" in attributes]
    assert {62.0, 66.0, 71.0, 74.0, 12.0} <= set(values)


def test_a_study_half_done_says_so_at_the_head(tmp_path: Path) -> None:
    grid(tmp_path, FOUR)
    (tmp_path / CRF / "seed=2" / "metrics.json").write_text("{")
    reader = read(tmp_path, [])
    assert any("Not complete: 11 of 12 jobs finished, 1 broken." in text for _, text in reader.texts)
    assert {"role": "note", "class": "notice"} in reader.of("div")
