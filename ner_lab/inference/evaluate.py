"""Score a run's tagger on its own corpus or on another."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ner_lab.config.compose import data_section
from ner_lab.config.instantiate import data_options_of
from ner_lab.config.paths import absolute_paths
from ner_lab.data.corpora import locate, read_corpus
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import encode
from ner_lab.data.readers.conll import shape_of
from ner_lab.data.remarks import improper_gold, types_unknown_to
from ner_lab.errors import UserError
from ner_lab.evaluation.scoring import Scored, score
from ner_lab.inference.trained_tagger import TrainedTagger, load
from ner_lab.io.terminal import download_bar
from ner_lab.models.threads import set_threads

log = logging.getLogger(__name__)


def evaluate(
    run: str | Path, overrides: Sequence[str] = (), splits: Sequence[str] = (), config_dirs: Sequence[str] = ()
) -> dict[str, Scored]:
    """Score the tagger of a run folder on `splits` (default: all but train).

    overrides: of the `data` group, as on the command line; none for the run's own corpus.
    config_dirs: the user's own folders with data options.
    """
    trained = load(run)
    if trained.config.trainer.deterministic:
        set_threads(trained.config.threads, trained.tagger, deterministic=True)
    cfg = data_section(overrides, trained.config, config_dirs)
    absolute_paths(cfg)
    options = data_options_of(cfg)
    if "data=files" in overrides and trained.options.format == options.format == "columns":
        options = _in_the_runs_columns(options, trained, [item.lstrip("+").partition("=")[0] for item in overrides])
    corpus = read_corpus(options, locate(options, download_bar(), needs_train=False))
    if missing := [name for name in splits if name not in corpus]:
        raise UserError(f"splits={','.join(missing)}: this corpus has {', '.join(corpus)}.")
    chosen = splits or [name for name in corpus if name != "train"]
    if not chosen:
        raise UserError("nothing to score: give data.test=FILE (or data.dev=FILE, or splits=train).")
    unknown = types_unknown_to({name: corpus[name] for name in chosen}, trained.vocabs.tags.entity_types)
    for remark in [*(remark for split in corpus.values() for remark in split.remarks), *unknown]:
        log.warning("%s", remark)
    scored = {}
    for name in chosen:
        split, labels = encode(
            corpus[name].sentences,
            trained.vocabs,
            trained.options,
            trained.features,
            name,
            corpus[name].path,
            corpus[name].scheme,
        )
        if (improper := improper_gold(corpus[name])) is not None:
            log.warning("%s", improper.in_words(corpus[name]))
        batch_tokens = trained.options.eval_batch_tokens
        vocabs = trained.vocabs
        scored[name] = score(trained.tagger, split, labels, vocabs.tags.scheme, batch_tokens, vocabs.word_classes)
    return scored


def _in_the_runs_columns(options: DataOptions, trained: TrainedTagger, given: Sequence[str]) -> DataOptions:
    """`options` of files, read like the run's own corpus except for the `given` keys.

    Files with fewer columns than that requires are read with the defaults of `data=files`.
    """
    run = trained.options
    columns = dict(options.columns)
    if "data.columns" not in given:
        taken = {"word", "tag", *trained.features.reads} & run.columns.keys()
        columns |= {name: run.columns[name] for name in taken if f"data.columns.{name}" not in given}
    kept = replace(
        options,
        columns=columns,
        separator=options.separator if "data.separator" in given else run.separator,
        docstart=options.docstart if "data.docstart" in given else run.docstart,
    )
    misfits = [path for path in locate(kept, needs_train=False).values() if not _fits(path, kept)]
    if kept == options or not misfits:
        return kept
    log.warning(
        "%s has too few columns to be read as the run's data (%s, separator %s): read as %s, separator %s; set "
        "data.columns and data.separator if that is wrong",
        misfits[0],
        *(kept.columns, kept.separator, options.columns, options.separator),
    )
    return options


def _fits(path: Path, options: DataOptions) -> bool:
    """Whether the first line of a file has all columns that `options` read."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        try:
            shape_of(lines, options.column_format, str(path))
        except UserError:
            return False
    return True
