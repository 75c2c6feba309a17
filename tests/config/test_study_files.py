"""Every file of sweeps/: what it asks can be run, and what it holds runs against is what the papers say."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, RangeSweep
from omegaconf import DictConfig, OmegaConf
from sample import Outcome

from ner_lab.config.compose import CONF_DIR, check_keys, compose_config, quoted, register_resolvers
from ner_lab.config.grid import expand
from ner_lab.config.instantiate import data_options_of
from ner_lab.config.naming import parse_configuration
from ner_lab.data.batching.batch import eval_batches
from ner_lab.data.preparation import prepare
from ner_lab.models.build import build_tagger, feature_set_of, word_embedding_of

SWEEPS = CONF_DIR.parent / "sweeps"
NAMES = sorted(file.stem for file in SWEEPS.glob("*.yaml"))
SEARCHES = ["search"]
STUDIES = [name for name in NAMES if name not in SEARCHES]
PARTS = ("word_embedding", "char_encoder", "features", "encoder", "decoder")
GROUPS = {folder.name for folder in CONF_DIR.iterdir() if folder.is_dir()}
FIGURES = ("dev", "dev_std", "test", "test_std")

MAIN_FIGURES: dict[str, dict[str, tuple[float | None, float]]] = {  # dev and test F1, typed once more from the papers
    "ma_hovy2016_components": {  # table 3
        "BRNN": (90.56, 85.44),
        "BLSTM": (91.57, 87.00),
        "BLSTM-CNN": (93.07, 89.36),
        "BLSTM-CNN-CRF": (94.74, 91.21),
    },
    "lample2016_components": {  # table 5
        "LSTM, pretrain + dropout + char": (None, 89.15),
        "LSTM-CRF, dropout + char": (None, 83.63),
        "LSTM-CRF, pretrain": (None, 88.39),
        "LSTM-CRF, pretrain + char": (None, 89.77),
        "LSTM-CRF, pretrain + dropout": (None, 90.20),
        "LSTM-CRF, pretrain + dropout + char": (None, 90.94),
    },
    "lample2016_stack_lstm_components": {  # table 5
        "S-LSTM, dropout + char": (None, 80.88),
        "S-LSTM, pretrain": (None, 86.67),
        "S-LSTM, pretrain + char": (None, 89.32),
        "S-LSTM, pretrain + dropout": (None, 87.96),
        "S-LSTM, pretrain + dropout + char": (None, 90.33),
    },
    "chiu_nichols2016_main": {  # table 5
        "FFNN + emb + caps + lex": (None, 89.67),
        "BLSTM": (None, 76.29),
        "BLSTM-CNN": (None, 83.38),
        "BLSTM-CNN + emb": (None, 90.91),
        "BLSTM-CNN + emb + lex": (None, 91.62),
    },
    "huang2015_models": {  # table 2
        "encoder=lstm_huang,decoder=softmax,word_embedding=random_50": (None, 79.82),
        "encoder=bilstm_huang,decoder=softmax,word_embedding=random_50": (None, 81.11),
        "encoder=none_dry,decoder=crf_huang,word_embedding=random_50": (None, 83.02),
        "encoder=lstm_huang,decoder=crf_huang,word_embedding=random_50": (None, 84.10),
        "encoder=bilstm_huang,decoder=crf_huang,word_embedding=random_50": (None, 84.26),
        "encoder=lstm_huang,decoder=softmax,word_embedding=senna": (None, 83.74),
        "encoder=bilstm_huang,decoder=softmax,word_embedding=senna": (None, 85.17),
        "encoder=none_dry,decoder=crf_huang,word_embedding=senna": (None, 86.13),
        "encoder=lstm_huang,decoder=crf_huang,word_embedding=senna": (None, 88.36),
        "encoder=bilstm_huang,decoder=crf_huang,word_embedding=senna": (None, 88.83),
    },
}


@dataclass(frozen=True)
class Sweep:
    """A file of sweeps/ as it stands: what it says, and the configurations it makes."""

    said: Mapping[str, Any]
    study: Mapping[str, Any]
    sweeper: Mapping[str, Any]

    @property
    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        return self.sweeper.get("variants", {})

    def configurations(self) -> dict[str, dict[str, str]]:
        """Choices of each, by the row's label or the folder's name."""
        parse = OverridesParser.create().parse_overrides
        jobs = expand(parse, self.sweeper["params"], self.rows, [], seed=1)
        return {job.label or job.configuration: dict(job.choices) for job in jobs}

    def seeds(self) -> int:
        (override,) = OverridesParser.create().parse_overrides([f"seed={self.sweeper['params']['seed']}"])
        return len(list(override.sweep_iterator()))

    def published(self) -> list[tuple[str, dict[str, Any]]]:
        """Every figure with the name of its configuration."""
        named = self.study.get("published", {}).items()
        return [(name, entry) for name, said in named for entry in (said if isinstance(said, list) else [said])]


@cache
def sweep(name: str) -> Sweep:
    said = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text(encoding="utf-8"))
    return Sweep(said, said["study"], said["hydra"]["sweeper"])


def own_keys(name: str) -> set[str]:
    """Groups and keys of the experiment that a study sets itself."""
    return set(sweep(name).said) - {"defaults", "study", "hydra"}


def composed(name: str, choices: Mapping[str, str], hydra: bool = False) -> DictConfig:
    """As a job of the study is composed; `hydra` adds what Hydra itself uses."""
    register_resolvers()
    overrides = [f"{key}={value}" for key, value in choices.items()]
    place = f"hydra.searchpath=[{quoted(f'file://{CONF_DIR}')}]"
    with initialize_config_dir(str(SWEEPS), version_base="1.3"):
        return compose(name, [place, *overrides], return_hydra_config=hydra)


@cache
def sections() -> dict[tuple[str, str], DictConfig]:
    """The section of every option that a study sweeps over; options of different groups are composed together."""
    swept: dict[str, set[str]] = {}
    for name in STUDIES:
        for choices in sweep(name).configurations().values():
            for key in GROUPS & set(choices) - {"paper"}:
                swept.setdefault(key, set()).add(choices[key])
    found = {}
    for chosen in zip_longest(*([(group, option) for option in sorted(swept[group])] for group in sorted(swept))):
        pairs = list(filter(None, chosen))
        cfg = compose_config([f"{group}={option}" for group, option in pairs])
        found.update({(group, option): cfg[group] for group, option in pairs})
    return found


@cache
def first_of_paper(name: str, paper: str | None) -> DictConfig:
    """A study's first configuration (with the paper), composed."""
    choices = next(one for one in sweep(name).configurations().values() if one.get("paper") == paper)
    return composed(name, choices)


def configured(name: str, choices: Mapping[str, str]) -> DictConfig:
    """What `composed` gives, faster: from the study's first configuration, other options put in their places."""
    cfg = first_of_paper(name, choices.get("paper")).copy()
    for key, value in choices.items():
        if key in GROUPS - {"paper"}:
            cfg[key] = sections()[key, value].copy()
        elif key != "paper":
            OmegaConf.update(cfg, key, yaml.safe_load(value))
    return cfg


@pytest.mark.parametrize("name", NAMES)
def test_a_study_says_first_what_it_asks_how_it_is_run_and_what_it_costs(name: str) -> None:
    comment = (SWEEPS / f"{name}.yaml").read_text(encoding="utf-8").partition("defaults:")[0].splitlines()
    assert re.match(r"# .+\?", comment[0])
    assert f"ner-lab sweep {name}" in comment[1]
    if name in STUDIES:
        configurations, seeds = len(sweep(name).configurations()), sweep(name).seeds()
        cost = f"{configurations} configurations x {seeds} seeds = {configurations * seeds} runs"
        assert cost in " ".join(comment), cost


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_published_belongs_to_a_configuration_and_names_its_source(name: str) -> None:
    configurations = sweep(name).configurations()
    for place, entry in sweep(name).published():
        assert place in configurations or parse_configuration(place) in configurations.values(), place
        assert set(entry) <= {*FIGURES, "n", "source"}
        assert "test" in entry
        assert all(0 < entry[figure] < 100 for figure in FIGURES if figure in entry)
        assert re.search(r"\btable \d|Reimers & Gurevych 2017|NCRF\+\+|Collobert 2011", entry["source"])


@pytest.mark.parametrize("name", MAIN_FIGURES)
def test_the_main_tables_of_the_papers_are_copied_to_the_digit(name: str) -> None:
    first: dict[str, tuple[float | None, float]] = {}
    for place, entry in sweep(name).published():
        first.setdefault(place, (entry.get("dev"), entry["test"]))
    assert first == MAIN_FIGURES[name]


@pytest.mark.parametrize("name", STUDIES)
def test_the_baseline_is_one_of_the_configurations(name: str) -> None:
    configurations, baseline = sweep(name).configurations(), sweep(name).study["baseline"]
    assert baseline in configurations or parse_configuration(baseline) in configurations.values()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_swept_has_a_label_and_nothing_else_has_one(name: str) -> None:
    rows = list(sweep(name).rows.values())
    swept = {*sweep(name).sweeper["params"], *(rows[0] if rows else {})} - {"seed"}
    assert set(sweep(name).study["factors"]) == swept
    assert all(set(row) == set(rows[0]) for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_sets_no_key_in_a_group_that_it_swaps(name: str) -> None:
    swept = {*sweep(name).sweeper["params"], *(key for row in sweep(name).rows.values() for key in row)}
    assert own_keys(name) <= {"data", "trainer", "early_stopping", "min_dev_score"} - swept


@pytest.mark.parametrize("name", NAMES)
def test_a_study_says_nothing_that_no_one_reads(name: str) -> None:
    read = set(OmegaConf.load(CONF_DIR / "config.yaml").study)
    assert set(sweep(name).study) <= read


@pytest.mark.parametrize("name", [name for name in STUDIES if own_keys(name)])
def test_the_keys_that_a_study_sets_exist(name: str) -> None:
    (choices, *_) = sweep(name).configurations().values()
    chosen = composed(name, choices, hydra=True).hydra.runtime.choices
    check_keys(first_of_paper(name, choices.get("paper")), dict(chosen))


@pytest.mark.parametrize("name", ["huang2015_models", "lample2016_dutch", "ma_hovy2016_dropout", "yang2018_grid"])
def test_options_are_put_in_their_places_as_hydra_puts_them(name: str) -> None:
    *_, last = sweep(name).configurations().values()
    assert configured(name, last) == composed(name, last)


@pytest.fixture(scope="module")
def try_out(place_files: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """Builds the tagger of a config and tags and scores with it, once for each combination of parts."""
    tried = set()
    files = compose_config(["data=files"]).data

    def try_out(cfg: DictConfig) -> None:
        combination = str([*(cfg[part] for part in PARTS), cfg.data.columns, cfg.data.scheme])
        if combination in tried:
            return
        tried.add(combination)
        if cfg.data.format == "markup":  # the built-in corpus is large beside the one of the tests
            cfg.data = files.copy()
            cfg.data.columns = {"word": 0, "pos": 1, "chunk": 2, "tag": 3}
        place_files(cfg)
        prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))
        tagger = build_tagger(cfg, prepared.vocabs)
        batch = next(eval_batches(prepared.splits["dev"], 40))
        with torch.no_grad():
            assert bool(torch.isfinite(tagger(batch)).all())
            assert tagger.decode(batch).shape == batch.mask.shape

    return try_out


@pytest.mark.parametrize("name", [name for name in STUDIES if not name.endswith("_glove50")])  # which differ in vectors
def test_every_configuration_of_a_study_builds(name: str, try_out: Callable[[DictConfig], None]) -> None:
    for choices in sweep(name).configurations().values():
        try_out(configured(name, choices))


def test_a_study_is_found_beside_the_experiment(cli: Callable[..., Outcome]) -> None:
    outcome = cli("train", "--config-dir", str(SWEEPS), "--config-name", "lample2016_dutch", "--cfg", "job")
    assert outcome.code == 0, outcome.said
    assert "name: conll2002_nl" in outcome.out
    assert "digits: keep" in outcome.out


# searches


def ends(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The lowest and the highest value of each parameter of a search."""
    params = sweep(name).sweeper["params"]
    low, high = {}, {}
    for override in OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()]):
        space, key = override.value(), override.key_or_group
        if isinstance(space, IntervalSweep):
            low[key], high[key] = str(space.start), str(space.end)
        elif isinstance(space, RangeSweep):
            low[key], high[key] = str(space.start), str(space.stop)
        else:
            values = list(override.sweep_string_iterator())
            low[key], high[key] = values[0], values[-1]
    return low, high


@pytest.mark.parametrize("name", SEARCHES)
def test_both_ends_of_a_searched_space_build(name: str, try_out: Callable[[DictConfig], None]) -> None:
    for end in ends(name):
        try_out(compose_config([f"{key}={value}" for key, value in end.items()]))


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_goes_for_high_f1_the_same_way_each_time(name: str) -> None:
    assert sweep(name).sweeper["direction"] == "maximize"
    assert isinstance(sweep(name).sweeper["sampler"]["seed"], int)
    assert {"override hydra/sweeper": "optuna"} in sweep(name).said["defaults"]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_composes_where_optuna_is(name: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    cfg = composed(name, {}, hydra=True)
    assert cfg.hydra.sweeper["_target_"].endswith("OptunaSweeper")
    assert cfg.hydra.sweeper.params == sweep(name).sweeper["params"]


# from the shell


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., tuple[int, list[list[str]]]]:
    """Runs a script with a `ner-lab` that notes how it is called, and fails on lample2016."""
    program = tmp_path / "bin" / "ner-lab"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@" >> "$CALLS"\ncase "$*" in *lample2016*) exit 3;; esac\n')
    program.chmod(0o755)

    def shell(script: str, *arguments: str, **environment: str) -> tuple[int, list[list[str]]]:
        calls = tmp_path / "calls"
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [SWEEPS / script, *arguments], cwd=tmp_path, env={"PATH": path, "CALLS": str(calls), **environment}
        )
        return done.returncode, [line.split(" ") for line in calls.read_text().splitlines()]

    return shell


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("script", sorted(file.name for file in SWEEPS.glob("*.sh")))
def test_a_script_stops_at_mistakes_and_says_how_it_is_called(script: str) -> None:
    text = (SWEEPS / script).read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n# ")
    assert "\nset -euo pipefail\n" in text
    assert f"\n#   sweeps/{script} [OVERRIDE...]\n" in text


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_loop_over_papers_goes_on_past_a_failure_and_reports_it(shell: Callable[..., Any]) -> None:
    code, calls = shell("papers.sh", "logger=none", SEEDS="1 2", PAPERS="lample2016 ma_hovy2016")
    assert code == 1
    assert calls == [
        ["train", f"paper={paper}", f"seed={seed}", "logger=none"]
        for paper in ("lample2016", "ma_hovy2016")
        for seed in (1, 2)
    ]
    for call in calls:
        compose_config(call[1:])


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_study_from_the_shell_is_the_one_of_its_file(
    shell: Callable[..., Any], cli: Callable[..., Outcome]
) -> None:
    code, (call,) = shell("chars_by_decoder.sh", "logger=none")
    assert code == 0
    assert call == [
        *("train", "-m", "--config-dir", str(SWEEPS), "--config-name", "chars_by_decoder"),
        *("hydra.launcher.n_jobs=2", "logger=none"),
    ]


GLOVE_50 = sorted(name for name in STUDIES if name.endswith("_glove50"))


def test_each_study_with_senna_vectors_of_the_main_tables_has_one_with_glove() -> None:
    assert {name.removesuffix("_glove50") for name in GLOVE_50} == {
        *("huang2015_models", "huang2015_features", "huang2015_chunking"),
        *("chiu_nichols2016_features", "chiu_nichols2016_main", "four_papers"),
    }


@pytest.mark.parametrize("name", GLOVE_50)
def test_a_study_with_glove_differs_from_that_with_senna_in_its_vectors_alone(name: str) -> None:
    text = (SWEEPS / f"{name.removesuffix('_glove50')}.yaml").read_text(encoding="utf-8")
    for old, new in (("word_embedding: senna", "word_embedding: glove_50"), ("=senna", "=glove_50")):
        text = text.replace(old, new)
    with_senna = yaml.safe_load(
        re.sub(r"random_50,senna\b", "random_50,glove_50", re.sub(", Senna:", ", GloVe 50:", text))
    )
    with_glove = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text(encoding="utf-8"))
    if "word_embedding" not in str(with_senna["hydra"]):  # the paper's own
        assert {"override word_embedding": "glove_50"} in with_glove["defaults"]
        with_glove["defaults"].remove({"override word_embedding": "glove_50"})
    published, stated = with_glove["study"].pop("published"), with_senna["study"].pop("published")
    assert with_glove == with_senna
    assert list(published) == list(stated)
    for here, there in zip(
        map(collect_metrics, published.values()), map(collect_metrics, stated.values()), strict=True
    ):
        for one, other in zip(here, there, strict=True):
            assert one["source"].startswith(other["source"])
            assert re.search(r"Senna|(SENNA|random|GloVe 100|skip-n-gram 100|the authors') vectors$", one["source"])
            assert one | {"source": ""} == other | {"source": ""}


def collect_metrics(said: Any) -> list[dict[str, Any]]:
    return said if isinstance(said, list) else [said]


def test_rows_of_four_papers_are_runs_of_the_ablations() -> None:
    rows = sweep("four_papers_one_protocol").configurations()
    letters = sweep("chars_by_decoder_conll2003").configurations()
    for label, of in (
        ("BLSTM", "char_encoder=none,decoder=softmax"),
        ("Ma & Hovy 2016", "char_encoder=cnn,decoder=crf"),
    ):
        one = configured("four_papers_one_protocol", rows[label])
        assert one.study.question != (other := configured("chars_by_decoder_conll2003", letters[of])).study.question
        assert {**one, "study": None, "run_name": None} == {**other, "study": None, "run_name": None}
    (ma_hovy,) = (
        choices for label, choices in sweep("four_papers").configurations().items() if label == "Ma & Hovy 2016"
    )
    assert configured("four_papers", ma_hovy).decoder == sections()["decoder", "crf"]


@pytest.mark.parametrize("name", STUDIES)
def test_published_figures_say_which_corpus_they_are_of(name: str) -> None:
    """`study.data` is the corpus that the study itself trains on."""
    study = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text(encoding="utf-8"))["study"]
    if not study.get("published"):
        return
    said = OmegaConf.load(SWEEPS / f"{name}.yaml")
    chosen = [entry for entry in said.defaults if isinstance(entry, DictConfig)]
    groups = {str(key).removeprefix("override "): str(value) for entry in chosen for key, value in entry.items()}
    rows = OmegaConf.select(said, "hydra.sweeper.variants") or {}
    params = OmegaConf.select(said, "hydra.sweeper.params") or {}
    papers = [str(row.paper) for row in rows.values() if "paper" in row]
    papers = papers or [one.strip() for one in str(params.get("paper", groups.get("paper", "none"))).split(",")]
    for paper in papers:
        data = [f"data={groups['data']}"] if "data" in groups else []
        assert study["data"] == compose_config([f"paper={paper}", *data]).data.name
