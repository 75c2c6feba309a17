"""Renders a document as one self-contained HTML page, plots included."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ner_lab.reporting.document import Document, code_in

if TYPE_CHECKING:  # matplotlib is slow to import
    from ner_lab.reporting.plots.style import Figure

_TEMPLATE = Path(__file__).with_name("page.html.j2")


def page(document: Document) -> str:
    """The HTML of a document, without references to other files or addresses."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"inline": _inline, "source": _source}
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(document=document)


def _inline(text: str) -> Markup:
    """Render sentences with code between backticks."""
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if code else escape(piece) for piece, code in code_in(text)
    )


def _source(figure: "Figure") -> str:
    """A plot as the data URL of an image. A separate image, because IDs of two inlined SVGs could collide."""
    for path, kind in ((figure.svg, "svg+xml"), (figure.png, "png")):
        if path.is_file():
            return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    return ""
