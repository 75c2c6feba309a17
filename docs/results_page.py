"""Write docs/results.md and its plots from the ledger in results/."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ner_lab.config.study_files import SWEEPS_DIR, studies
from ner_lab.reporting.analysis import Findings, find
from ner_lab.reporting.ledger import page as ledger_page
from ner_lab.reporting.ledger.page import Main
from ner_lab.reporting.ledger.report import collect_from_ledger, describe, read_ledger, study_names
from ner_lab.reporting.plots.scores import seeds
from ner_lab.reporting.plots.style import page, write

ROOT = Path(__file__).resolve().parent.parent
LEDGER = ROOT / "results"
PAGE = ROOT / "docs" / "results.md"
PLOTS = ROOT / "docs" / "results"
MAIN = (
    Main("Huang 2015, BI-LSTM-CRF with gazetteer", "huang2015_features_glove50", "features=huang_gazetteer"),
    Main(
        "Chiu & Nichols 2016, BLSTM-CNN + emb + caps + lex",
        "chiu_nichols2016_features_glove50",
        "BLSTM-CNN + emb + caps + lex",
    ),
    Main("Lample 2016, LSTM-CRF", "lample2016_components", "LSTM-CRF, pretrain + dropout + char"),
    Main("Lample 2016, Stack-LSTM", "lample2016_stack_lstm_components", "S-LSTM, pretrain + dropout + char"),
    Main("Ma & Hovy 2016, BLSTM-CNN-CRF", "ma_hovy2016_components", "BLSTM-CNN-CRF"),
    Main("the same with decoder=crf", "chars_by_decoder_conll2003", "char_encoder=cnn,decoder=crf"),
)
"""The main row of each paper"""


def load(ledger: Path = LEDGER) -> list[Findings]:
    """What is known of each study that has runs or published figures, by name."""
    entries = read_ledger(ledger)
    published = [name for name in studies(SWEEPS_DIR) if (said := describe(ledger, name)) and said.published]
    names = dict.fromkeys([*sorted({*study_names(entries), *published})])
    return [find(collect_from_ledger(ledger, entries, name)) for name in names]


def text(found: Sequence[Findings]) -> str:
    """The whole page."""
    return ledger_page.page(found, MAIN, {name: f"results/{name}.svg" for name in _drawn(found)})


def draw(found: Sequence[Findings], folder: Path = PLOTS) -> None:
    """Write the plot of the seeds of each study that has runs; those of other studies go."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place, page():
        for findings in found:
            for drawing in seeds(findings) if findings.study.name in _drawn(found) else ():
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(write(drawing, Path(place)).svg, folder / f"{findings.study.name}.svg")


def _drawn(found: Sequence[Findings]) -> list[str]:
    return [findings.study.name for findings in found if any(row.runs for row in findings.rows)]
