"""`ner-lab train`: train a tagger, keep the best epoch by dev F1, score dev and test with it.

Where dev is trained on (`data.train_on`), its F1 chooses nothing: the last epoch is kept.
"""

import importlib.util
import logging
import math
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from ner_lab.build import data_options_of, feature_set_of, word_embedding_of
from ner_lab.command import mistake_behind, run_command, stop
from ner_lab.compose import CONF_DIR, check_keys, register_resolvers, study_name
from ner_lab.data.datamodule import NerDataModule
from ner_lab.data.options import DataOptions
from ner_lab.data.prepare import Prepared, prepare
from ner_lab.epoch_log import Diverged, EpochLog
from ner_lab.errors import JobFailed, UserError
from ner_lab.lit import TaggerModule
from ner_lab.logger.tracker import Tracker
from ner_lab.predict import load
from ner_lab.progress import ProgressFile
from ner_lab.run_folder import RunFolder, absolute_paths
from ner_lab.scoring import score, score_table
from ner_lab.stopping import EarlyStop
from ner_lab.study.elsewhere import finished_value, note_failure, refuse_processes
from ner_lab.summary import data_summary, parameter_table
from ner_lab.tagger import Tagger
from ner_lab.terminal import download_bar
from ner_lab.threads import set_threads
from ner_lab.word_embedding.base import WordTable

log = logging.getLogger(__name__)


def train(
    cfg: DictConfig,
    folder: Path,
    name: str = "run",
    choices: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Train as `cfg` says, write everything to `folder`, and give what stands in metrics.json.

    choices, overrides: option of each group and what was overridden, for the record of the run.

    In a distributed run all processes take part in training; the first one alone writes and scores,
    and the others get an empty dictionary. A run that diverges leaves a metrics.json of status
    `failed`, with its history and without scores, and raises `Diverged`.
    """
    if not isinstance(cfg.seed, int) or not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed is {cfg.seed}. It must be a whole number from 0 to {2**32 - 1}.")
    if cfg.threads is not None:
        set_threads(cfg.threads)
    run = RunFolder(folder)
    tracker: Tracker = instantiate(cfg.logger)
    failed = True
    try:
        metrics = _train(cfg, run, tracker, name, choices or {}, overrides)
        failed = metrics.get("status") == "failed"
    finally:
        tracker.close(failed)
        run.release()
    return metrics


def _train(
    cfg: DictConfig,
    run: RunFolder,
    tracker: Tracker,
    name: str,
    choices: Mapping[str, str],
    overrides: Sequence[str],
) -> dict[str, Any]:
    begun = time.perf_counter()
    first = getattr(rank_zero_only, "rank", 0) == 0
    absolute_paths(cfg)
    if first:
        run.begin(cfg, choices, overrides)
    options = data_options_of(cfg)
    stopping = _stopping(cfg, options)
    prepared = prepare(options, feature_set_of(cfg), word_embedding_of(cfg), download_bar())
    data_seconds = time.perf_counter() - begun

    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    module = TaggerModule(plain, prepared.vocabs.to_plain(), prepared.labels)
    _fill_vectors(module, prepared)
    if cfg.threads is not None:
        set_threads(cfg.threads, module.tagger)
    untrained = module.tagger.transition_scores()
    if first:
        trained_on = f", trained on {' and '.join(options.train_on)}" if options.trains_on_dev else ""
        log.info("data: %s%s (ready in %.1f s)", options.name, trained_on, data_seconds)
        log.info("%s\n", data_summary(prepared))
        log.info("%s\n", parameter_table(module.tagger))

    epochs = EpochLog(trained_on_dev=options.trains_on_dev)
    callbacks = [epochs, stopping, _checkpoint(run, options), ProgressFile(run.progress)]
    loggers = tracker.open(run.path, name, plain, _facts(run, module.tagger, prepared)) if first else []
    trainer = _trainer(cfg, run, callbacks, loggers)
    diverged: Diverged | None = None
    started = time.perf_counter()
    try:
        trainer.fit(module, datamodule=NerDataModule(prepared, options, seed=cfg.seed))
    except Diverged as error:
        diverged = error
    except SystemExit:  # Lightning's answer to Ctrl-C
        if trainer.interrupted:
            which = "last" if options.trains_on_dev else "best"
            kept = f"; the {which} epoch so far stands in {run.checkpoint}" if run.checkpoint.exists() else ""
            log.info("stopped in epoch %d%s", len(epochs.history) + 1, kept)
            raise KeyboardInterrupt from None
        raise
    train_seconds = time.perf_counter() - started
    figures = {
        "seed": cfg.seed,
        "train_on": options.train_on,
        "epochs": epochs.trained,
        "train_seconds": train_seconds,
        "train_tokens_per_second": epochs.tokens_per_second,
        "data_seconds": data_seconds,
        "parameters": _parameters(module.tagger),
        "coverage": prepared.coverage,
        "sources": prepared.sources,
    }
    if diverged is not None:
        if trainer.is_global_zero:
            metrics = {"status": "failed", "failure": str(diverged), **figures, "history": epochs.history}
            run.write_metrics(metrics)
            tracker.finish(run.path, metrics)
        raise diverged
    if not trainer.is_global_zero:
        return {}
    if not epochs.history:
        raise UserError("no epoch was trained to its end: raise trainer.max_epochs, trainer.max_steps or max_time.")

    tagger = load(run.path).tagger  # as any later reader will
    splits = _score_kept(tagger, run, prepared, options.eval_batch_tokens)
    failure = _failure(splits["dev"]["f1"], cfg.fail_below)
    metrics = {
        "status": "ok" if failure is None else "failed",
        "failure": failure,
        "best_epoch": epochs.kept,
        **figures,
        **splits,
        **_transitions(prepared.vocabs.tags.items, untrained, tagger.transition_scores()),
        "history": epochs.history,
    }
    run.write_metrics(metrics)
    tracker.finish(run.path, metrics)
    _close(metrics, run)
    return metrics


def _parameters(tagger: Tagger) -> dict[str, int]:
    """Numbers in each part."""
    return {part: whole for part, (_, whole) in tagger.parameter_counts().items()}


def _facts(run: RunFolder, tagger: Tagger, prepared: Prepared) -> dict[str, Any]:
    """What a tracker is told beside the config."""
    record = run.read_record()
    facts = {name: record[name] for name in ("choices", "versions", "code")}
    commit = (record["git"] or {}).get("commit")
    return {**facts, "commit": commit, "parameters": _parameters(tagger), "sources": prepared.sources}


def _stopping(cfg: DictConfig, options: DataOptions) -> EarlyStop:
    """The rule for ending early; what it may not be beside data that is trained on, and other limits, checked."""
    patience, limit = cfg.early_stopping.patience, cfg.fail_below
    if options.trains_on_dev and patience is not None:
        raise UserError(
            f"early_stopping.patience is {patience}, but data.train_on=[train,dev] leaves no data to stop on. "
            "Give early_stopping.patience=null and a fixed trainer.max_epochs=N."
        )
    if limit is not None and (type(limit) not in (int, float) or not 0 <= limit <= 100):
        raise UserError(f"fail_below is {limit}. It is a dev F1 in per cent, 0 to 100, or null.")
    return EarlyStop(rule=cfg.early_stopping.rule, patience=patience)


def _failure(dev_f1: float, least: float | None) -> str | None:
    """Why a run that ran to its end counts as failed (Chiu & Nichols 2016, section 3.4); None if it does not."""
    return f"dev F1 {dev_f1:.2f} is below fail_below={least:g}" if least is not None and dev_f1 < least else None


def _fill_vectors(module: TaggerModule, prepared: Prepared) -> None:
    table = module.tagger.embedder.words
    if prepared.vectors is not None and isinstance(table, WordTable):
        table.fill(prepared.vectors)


def _checkpoint(run: RunFolder, options: DataOptions) -> ModelCheckpoint:
    """Keeps the best epoch by dev F1, whatever rule ends training; the last one where dev is trained on."""
    last = options.trains_on_dev
    return ModelCheckpoint(
        dirpath=run.checkpoints,
        filename="best",
        monitor=None if last else "dev/f1",
        mode="max",
        save_weights_only=True,
        save_on_train_epoch_end=last,  # behind EpochLog, which lets no diverged epoch through
        enable_version_counter=False,
    )


def _trainer(cfg: DictConfig, run: RunFolder, callbacks: list[pl.Callback], loggers: list[Any]) -> pl.Trainer:
    for library in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    return instantiate(
        cfg.trainer,
        callbacks=callbacks,
        logger=loggers or False,
        default_root_dir=str(run.path),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def _transitions(
    tags: list[str], before: dict[str, Tensor] | None, after: dict[str, Tensor] | None
) -> dict[str, dict[str, Any]]:
    """Scores between neighbouring tags before training and in the epoch kept, where one matrix holds them."""
    if before is None or after is None:
        return {}
    scores = {name: {"before": _rounded(before[name]), "after": _rounded(after[name])} for name in after}
    return {"transitions": {"tags": tags, **scores}}


def _rounded(scores: Tensor) -> Any:
    """Numbers as lists, to four places; those that are not finite are null."""
    if scores.dim() > 1:
        return [_rounded(row) for row in scores]
    return [round(score, 4) if math.isfinite(score) else None for score in scores.tolist()]


def _score_kept(tagger: Tagger, run: RunFolder, prepared: Prepared, batch_tokens: int) -> dict[str, Any]:
    """Score dev and test with the epoch kept, and write its predictions."""
    vocabs = prepared.vocabs
    splits: dict[str, Any] = {}
    for name in ("dev", "test"):
        if name not in prepared.splits:
            continue
        split = prepared.splits[name]
        scored = score(tagger, split, prepared.labels, vocabs.tags.scheme, batch_tokens, vocabs.word_classes)
        scored.write(run.predictions / f"{name}.conll")
        splits[name] = scored.scores
    return splits


def _close(metrics: dict[str, Any], run: RunFolder) -> None:
    trained_on = metrics["train_on"]
    scores: dict[str, Any] = {
        f"{name} (trained on)" if name in trained_on else name: metrics[name]
        for name in ("dev", "test")
        if name in metrics
    }
    which = "last" if "dev" in trained_on else "best"
    log.info("\n%s epoch %d of %d\n\n%s\n", which, metrics["best_epoch"], metrics["epochs"], score_table(scores))
    if metrics["failure"] is not None:
        log.warning("this run is marked failed: %s.", metrics["failure"])
    here = Path.cwd()
    folder = run.path.relative_to(here) if run.path.is_relative_to(here) else run.path
    log.info(
        "trained in %.0f s, %s tokens/s\nrun folder   %s\n"
        "  metrics.json, config.yaml, checkpoints/best.ckpt, predictions/, train.log\n"
        "next\n  ner-lab predict run=%s input=FILE\n  ner-lab evaluate run=%s\n"
        "  ner-lab train char_encoder=bilstm decoder=softmax seed=2",
        metrics["train_seconds"],
        f"{metrics['train_tokens_per_second']:,.0f}",
        folder,
        folder,
        folder,
    )


@hydra.main(config_path=str(CONF_DIR), config_name="config", version_base="1.3")
def _job(cfg: DictConfig) -> float:
    """One Hydra job; its value, for sweepers, is dev F1."""
    hydra_config = HydraConfig.get()
    runtime, in_sweep = hydra_config.runtime, hydra_config.mode == RunMode.MULTIRUN
    extra = [s.path for s in runtime.config_sources if s.schema == "file" and Path(s.path) != CONF_DIR]
    folder = Path(runtime.output_dir)
    cfg.study.name = study_name(cfg, hydra_config.job.config_name)
    try:
        check_keys(cfg, dict(runtime.choices), extra)
        if in_sweep:
            refuse_processes(cfg)
            if (finished := finished_value(RunFolder(folder), cfg)) is not None:
                return finished
        choices = {name: choice for name, choice in runtime.choices.items() if not name.startswith("hydra/")}
        metrics = train(cfg, folder, f"{cfg.run_name}/seed={cfg.seed}", choices, list(hydra_config.overrides.task))
    except Exception as error:
        mistake = mistake_behind(error)
        if in_sweep:  # the launcher goes on with the other jobs
            raise JobFailed(note_failure(RunFolder(folder), error, mistake)) from None
        if mistake is None:
            raise
        stop(mistake)  # Hydra would print a line of its own before run_command sees it
    return metrics["dev"]["f1"] if metrics else 0.0


def main() -> None:
    """Entry point of `ner-lab train` and of `python -m ner_lab.train`."""
    register_resolvers()
    # processes of a distributed run start again as `python -m ner_lab.train`, whatever started this one
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("ner_lab.train")
    run_command(_job)


if __name__ == "__main__":
    main()
