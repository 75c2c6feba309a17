"""`ner-lab train`: train a tagger, keep the best epoch by dev F1, score dev and test with it.

If dev is part of the training data (`data.train_on`), its F1 cannot choose an epoch, and the last one is kept.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from ner_lab.config.instantiate import check_part, class_of, data_options_of
from ner_lab.config.paths import absolute_paths
from ner_lab.config.trainer_checks import check_precision, check_settings, check_trainer, note_on_precision
from ner_lab.config.untrusted import packages_of
from ner_lab.data.batching.datamodule import NerDataModule
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.errors import Interrupted, UserError, invalid_value, reason_of
from ner_lab.evaluation.conlleval import score_table
from ner_lab.evaluation.scoring import score
from ner_lab.inference.trained_tagger import load
from ner_lab.io.log_file import start_log_files
from ner_lab.io.os_errors import explain_os_error
from ner_lab.io.terminal import download_bar
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.models.features.base import FeatureSet
from ner_lab.models.tagger import Tagger
from ner_lab.models.threads import set_threads
from ner_lab.models.word_embedding.base import WordEmbedding, WordTable
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.provenance import code_sum, versions
from ner_lab.tracking.base import Tracker
from ner_lab.training.callbacks.best_checkpoint import BestEpoch
from ner_lab.training.callbacks.early_stopping import EarlyStop
from ner_lab.training.callbacks.history import Diverged, EpochLog
from ner_lab.training.callbacks.progress_file import ProgressFile
from ner_lab.training.callbacks.resume import ResumeCallback
from ner_lab.training.contract import check_contract, generators_kept, has_user_class
from ner_lab.training.module import TaggerModule
from ner_lab.training.optimizers.base import OptimizerRecipe, optimizer_of
from ner_lab.training.signals import StopSignals
from ner_lab.training.state import StateFile
from ner_lab.training.summary import data_summary, parameter_table
from ner_lab.training.trainer import trainer_of

log = logging.getLogger(__name__)

_MOST_TAGS_SHOWN = 400  # whose transition scores metrics.json has: 2,500 tags would take 100 MB


def train(
    cfg: DictConfig,
    folder: Path,
    name: str = "run",
    choices: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Train as configured, write everything to `folder`, and return the content of metrics.json.

    choices, overrides: option of each group and what was overridden, for the record of the run.

    In a distributed run all processes take part in training; the first one alone writes and scores,
    and the others get an empty dictionary. A run that diverges leaves a metrics.json of status
    `failed`, with its history and without scores, and raises `Diverged`.

    Where the folder holds the state of a training with the same config, that was stopped or killed,
    training resumes from the end of its last epoch, with the same numbers as one never stopped. Ctrl-C, SIGTERM
    and SIGUSR1 let the step under way end, and raise `Interrupted`.
    """
    check_values(cfg)
    set_threads(cfg.threads, deterministic=bool(cfg.trainer.deterministic))
    run = RunFolder(folder)
    tracker = tracker_of(cfg)
    failed = True
    with StopSignals() as signals:
        try:
            metrics = _train(cfg, run, tracker, signals, name, choices or {}, overrides)
            failed = metrics.get("status") == "failed"
        except Interrupted as stopped:
            if not _is_first():
                return {}
            raise Interrupted(f"{stopped}.\nnext\n  ner-lab train --resume {_shown(run.path)}") from None
        except Exception as error:
            if run.started and not run.metrics.exists():
                run.write_failure(*reason_of(error, _mistake_of(error)))
            raise
        finally:
            tracker.close(failed)
            run.release()
    return metrics


def _mistake_of(error: Exception) -> str | None:
    """The message for a mistake of the user; None for a bug."""
    if isinstance(error, UserError):
        return str(error)
    return explain_os_error(error) if isinstance(error, OSError) else None


def _is_first() -> bool:
    """Whether this is the first of the processes of a run, or the only one."""
    return getattr(rank_zero_only, "rank", 0) == 0


def tracker_of(cfg: DictConfig) -> Tracker:
    """The experiment tracker of `cfg.logger`."""
    return instantiate(cfg.logger)


def check_values(cfg: DictConfig) -> None:
    """Check all settings that can be checked before anything is read or written."""
    check_seed(cfg)
    check_settings(cfg)
    check_parts(cfg)
    check_counting(cfg)
    stopping_of(cfg, data_options_of(cfg))


def check_counting(cfg: DictConfig) -> None:
    """Refuse settings under which a model that counts would count a sentence several times, or only a part of it."""
    if not getattr(class_of(cfg.decoder, "decoder"), "trained_by_counting", False):
        return
    if cfg.trainer.max_epochs != 1:
        raise UserError(
            f"trainer.max_epochs is {cfg.trainer.max_epochs}, and this decoder is trained by counting: every further "
            "epoch would count each sentence again. Set trainer.max_epochs=1."
        )
    recipe = optimizer_of(cfg)
    if (recipe.lr, recipe.clip, recipe.loss) != (1, "none", "sum"):
        raise UserError(
            f"optimizer has lr={recipe.lr:g}, clip={recipe.clip}, loss={recipe.loss}, and this decoder is trained by "
            "counting, a step of 1 for each event. Set optimizer=sgd_counts."
        )


def check_seed(cfg: DictConfig) -> None:
    """Check that the seed is valid for all random generators."""
    if type(cfg.seed) is not int or not 0 <= cfg.seed < 2**32:
        raise invalid_value("seed", cfg.seed, f"a whole number from 0 to {2**32 - 1}")


def _train(
    cfg: DictConfig,
    run: RunFolder,
    tracker: Tracker,
    signals: StopSignals,
    name: str,
    choices: Mapping[str, str],
    overrides: Sequence[str],
) -> dict[str, Any]:
    begun = time.perf_counter()
    first = _is_first()
    absolute_paths(cfg)
    state = run.hold(cfg) if first else run.read_state()
    options = data_options_of(cfg)
    stopping = stopping_of(cfg, options)
    prepared = prepare(options, feature_set_of(cfg), word_embedding_of(cfg), download_bar())
    data_seconds = time.perf_counter() - begun

    if has_user_class(cfg):
        try_parts(cfg, prepared)
    module = untrained_module(cfg, prepared)
    set_threads(cfg.threads, module.tagger, deterministic=bool(cfg.trainer.deterministic))
    check_precision(cfg.trainer, module.tagger)
    untrained = module.tagger.transition_scores()
    if first:
        log_parameters(options, prepared, module.tagger, data_seconds)

    keeps_last = options.trains_on_dev
    if not keeps_last and (reason := why_dev_cannot_choose(prepared)) is not None:
        keeps_last, stopping = True, EarlyStop(rule=cfg.early_stopping.rule, patience=None)
        if first:
            log.warning("%s", reason)
    if first and (note := note_on_precision(cfg.trainer.precision)) is not None:
        log.warning("%s", note)
    epochs = EpochLog(trained_on_dev=options.trains_on_dev, keeps_last=keeps_last)
    best = BestEpoch(run, last=keeps_last)
    about = {
        "sources": prepared.sources,
        "vocabs": _sha256(module.hparams["vocabs"]),
        "code": code_sum(),
        "versions": versions(),
    }
    resume = ResumeCallback(run, signals, best, max_loss=cfg.max_loss, resumed=state, about=about)
    if state is not None:
        _check_resumable(state, about, module, run)
        epochs.load_state_dict(state["callbacks"][epochs.state_key])
    check_trainer(cfg.trainer)
    if first:  # nothing is written before everything was checked
        run.start(cfg, choices, overrides, resumes=state is not None)
    start_log_files()
    callbacks = [epochs, stopping, ProgressFile(run.progress), best, resume]
    if first and state is not None and not tracker.continues:
        run.set_aside_curves()
    loggers = _open(tracker, run, name, module, prepared, epochs) if first else []
    trainer = trainer_of(cfg, run, callbacks, loggers, StateFile(run, state))
    diverged: Diverged | None = None
    try:
        if state is None or not state["progress"]["ended"]:
            data = NerDataModule(prepared, options, seed=cfg.seed, limit=cfg.trainer.limit_train_batches)
            trainer.fit(module, datamodule=data, ckpt_path=None if state is None else run.state)
    except Diverged as error:
        diverged = error
    except SystemExit:  # Lightning's answer to Ctrl-C
        if trainer.interrupted:
            which = "last" if keeps_last else "best"
            checkpoint = f"; the {which} epoch so far is in {run.checkpoint}" if run.checkpoint.exists() else ""
            log.info("stopped in epoch %d%s", len(epochs.history) + 1, checkpoint)
            raise KeyboardInterrupt from None
        raise
    figures = collect_metrics(cfg, options, prepared, epochs, module.tagger)
    figures |= {"train_seconds": resume.seconds, "data_seconds": data_seconds}
    if diverged is not None:
        if not trainer.is_global_zero:
            return {}
        fail(run, tracker, str(diverged), figures, epochs)
        raise diverged
    if not trainer.is_global_zero:
        return {}
    metrics = finish(cfg, run, tracker, options, prepared, epochs, figures, untrained)
    _close(metrics, run, "last" if keeps_last else "best")
    if epochs.unscored_failure is not None:
        raise RuntimeError(f"{epochs.unscored_failure}. The run is marked failed; all its results are in {run.path}.")
    return metrics


def why_dev_cannot_choose(prepared: Prepared) -> str | None:
    """Explain in one line why dev F1 cannot choose an epoch, and what follows; None if it can."""
    train, dev = (prepared.counts[split].per_type for split in ("train", "dev"))
    if any(dev[name] for name in dev if train.get(name)):
        return None
    lacking = ", ".join(sorted(name for name in dev if dev[name]))
    what = f"dev has only entity types that train lacks ({lacking})" if lacking else "dev has no entity"
    return (
        f"{what}, so dev F1 cannot choose an epoch: the last epoch is kept, and early stopping is off. Give another "
        "data.dev, or hold out a share of train: data.dev=null data.dev_share=0.1"
    )


def _check_resumable(state: Mapping[str, Any], about: Mapping[str, Any], module: TaggerModule, run: RunFolder) -> None:
    """Log where training resumes; refuse other data, and name what else differs."""
    then, progress = state["about"], state["progress"]
    for split, source in then["sources"].items():
        now = about["sources"].get(split, {})
        if source["sha256"] != now.get("sha256"):
            raise UserError(
                f"{now.get('path', source['path'])}: it is not the file that training began with in {run.path} "
                f"(SHA-256 {str(now.get('sha256'))[:12]}..., then {source['sha256'][:12]}...). Put the file back, "
                "or train from the beginning in another folder: ner-lab train --from DIR."
            )
    if then["vocabs"] != about["vocabs"]:
        raise UserError(
            f"{run.path}: the vocabularies and lexicons are not those that training began with, so a lexicon or the "
            "file of vectors was changed. Put it back, or train from the beginning in another folder: "
            "ner-lab train --from DIR."
        )
    shapes = [{key: value.shape for key, value in one.items()} for one in (state["state_dict"], module.state_dict())]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"{run.path}: the checkpoint to resume from is not one of this tagger: its weights have other names or "
            "shapes. Train from the beginning in another folder: ner-lab train --from DIR."
        )
    if not _is_first():
        return
    at = "after the last epoch" if progress["ended"] else f"with epoch {progress['epochs'] + 1}"
    log.info("resuming %s, from the checkpoint in %s", at, run.checkpoints)
    others = [
        f"{name} {version} (then {then['versions'].get(name, 'none')})"
        for name, version in about["versions"].items()
        if then["versions"].get(name) != version
    ]
    others += ["the code of ner_lab"] if then["code"] != about["code"] else []
    if others:
        log.warning("not as when training began: %s. The numbers may differ in their last places.", ", ".join(others))


def _sha256(content: Any) -> str:
    """SHA-256 of plain data, as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _open(
    tracker: Tracker, run: RunFolder, name: str, module: TaggerModule, prepared: Prepared, epochs: EpochLog
) -> list[Logger]:
    """The loggers of a run; those that start again get what was logged before the run was stopped."""
    loggers = tracker.open(run.path, name, config_of(module), run_metadata(run, module.tagger, prepared))
    if not tracker.continues:
        epochs.log_history(loggers)
    return loggers


def untrained_module(cfg: DictConfig, prepared: Prepared) -> TaggerModule:
    """The tagger before training; its random weights depend on the seed alone."""
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    module = TaggerModule(plain, prepared.vocabs.to_plain(), prepared.labels)
    table = module.tagger.embedder.words
    if prepared.vectors is not None and isinstance(table, WordTable):
        table.fill(prepared.vectors)
    return module


def try_parts(cfg: DictConfig, prepared: Prepared) -> list[tuple[str, str, str, str]]:
    """Check the contract of all parts in a separate tagger (`ner_lab.training.contract`).

    Returns (group, class, its size, what was checked) of each; UserError for the first one broken.
    """
    with generators_kept():
        module = untrained_module(cfg, prepared)
        return check_contract(cfg, module.tagger, module.recipe, prepared.splits["train"], prepared.vocabs.tags)


def config_of(module: TaggerModule) -> dict[str, Any]:
    """The config that a module was built from, as plain data."""
    return module.hparams["config"]


def log_parameters(options: DataOptions, prepared: Prepared, tagger: Tagger, data_seconds: float) -> None:
    """Log summaries of the data and the tagger."""
    trained_on = f", trained on {' and '.join(options.train_on)}" if options.trains_on_dev else ""
    log.info("data: %s%s (ready in %.1f s)", options.name, trained_on, data_seconds)
    log.info("%s\n", data_summary(prepared))
    for warning in prepared.warnings:
        log.warning("%s", warning)
    log.info("%s\n", parameter_table(tagger))


def collect_metrics(
    cfg: DictConfig, options: DataOptions, prepared: Prepared, epochs: EpochLog, tagger: Tagger
) -> dict[str, Any]:
    """The entries of metrics.json about the training, without times."""
    return {
        "seed": cfg.seed,
        "train_on": options.train_on,
        "epochs": epochs.trained,
        "train_tokens_per_second": epochs.tokens_per_second,
        "parameters": _parameters(tagger),
        "coverage": prepared.coverage,
        "sources": prepared.sources,
        "warnings": prepared.warnings,
        "improper_gold": prepared.improper_gold,
    }


def fail(run: RunFolder, tracker: Tracker, failure: str, figures: dict[str, Any], epochs: EpochLog) -> None:
    """Write the metrics of a run that diverged."""
    metrics = {"status": "failed", "failure": failure, **figures, "history": epochs.history}
    run.write_metrics(metrics)
    tracker.finish(run.path, metrics)


def finish(
    cfg: DictConfig,
    run: RunFolder,
    tracker: Tracker,
    options: DataOptions,
    prepared: Prepared,
    epochs: EpochLog,
    figures: dict[str, Any],
    untrained: dict[str, Tensor] | None,
) -> dict[str, Any]:
    """Score the epoch kept, write the results of a finished run, and return the content of metrics.json.

    untrained: transition scores before training.
    """
    if not epochs.history:
        if epochs.unscored:
            raise RuntimeError(f"{epochs.unscored_failure}.")
        raise UserError("no epoch was trained to its end: raise trainer.max_epochs, trainer.max_steps or max_time.")
    tagger = load(run.path, trust=packages_of(cfg)).tagger  # as any later reader will
    splits = score_kept(tagger, run, prepared, options.eval_batch_tokens)
    failure = epochs.unscored_failure or _failure(splits["dev"]["f1"], cfg.min_dev_score)
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
    run.drop_state()
    tracker.finish(run.path, metrics)
    return metrics


def _parameters(tagger: Tagger) -> dict[str, int]:
    """Number of parameters of each part."""
    return {part: whole for part, (_, whole) in tagger.parameter_counts().items()}


def run_metadata(run: RunFolder, tagger: Tagger, prepared: Prepared) -> dict[str, Any]:
    """What a tracker gets besides the config."""
    record = run.read_record()
    facts = {name: record[name] for name in ("choices", "versions", "code")}
    commit = (record["git"] or {}).get("commit")
    return {**facts, "commit": commit, "parameters": _parameters(tagger), "sources": prepared.sources}


def stopping_of(cfg: DictConfig, options: DataOptions) -> EarlyStop:
    """The early stopping rule, checked against `data.train_on`; also checks `min_dev_score`."""
    patience, limit = cfg.early_stopping.patience, cfg.min_dev_score
    if options.trains_on_dev and patience is not None:
        raise UserError(
            f"early_stopping.patience is {patience}, but data.train_on=[train,dev] leaves no data to stop on. "
            "Give early_stopping.patience=null and a fixed trainer.max_epochs=N."
        )
    if limit is not None and (type(limit) not in (int, float) or not 0 <= limit <= 100):
        raise invalid_value("min_dev_score", limit, "a dev F1 in per cent, from 0 to 100, or null")
    return EarlyStop(rule=cfg.early_stopping.rule, patience=patience)


def _failure(dev_f1: float, least: float | None) -> str | None:
    """Why a finished run counts as failed (Chiu & Nichols 2016, section 3.4); None if it does not."""
    return f"dev F1 {dev_f1:.2f} is below min_dev_score={least:g}" if least is not None and dev_f1 < least else None


def _transitions(
    tags: list[str], before: dict[str, Tensor] | None, after: dict[str, Tensor] | None
) -> dict[str, dict[str, Any]]:
    """Transition scores before training and in the epoch kept, if the decoder has one matrix of them."""
    if before is None or after is None or len(tags) > _MOST_TAGS_SHOWN:
        return {}
    scores = {name: {"before": _rounded(before[name]), "after": _rounded(after[name])} for name in after}
    return {"transitions": {"tags": tags, **scores}}


def _rounded(scores: Tensor) -> Any:
    """Numbers as lists, rounded to four decimals; None for those that are not finite."""
    if scores.dim() > 1:
        return [_rounded(row) for row in scores]
    return [round(score, 4) if math.isfinite(score) else None for score in scores.tolist()]


def score_kept(tagger: Tagger, run: RunFolder, prepared: Prepared, batch_tokens: int) -> dict[str, Any]:
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


def _close(metrics: dict[str, Any], run: RunFolder, which: str) -> None:
    """Log the scores of the `best` or `last` epoch, which was kept, and the next steps."""
    trained_on = metrics["train_on"]
    scores: dict[str, Any] = {
        f"{name} (trained on)" if name in trained_on else name: metrics[name]
        for name in ("dev", "test")
        if name in metrics
    }
    log.info("\n%s epoch %d of %d\n\n%s\n", which, metrics["best_epoch"], metrics["epochs"], score_table(scores))
    if not metrics["dev"]["predicted"] and metrics["dev"]["gold"]:
        log.warning(
            "no entity was predicted on dev. More epochs may help (trainer.max_epochs, early_stopping.patience=null), "
            "or another optimizer or learning rate (optimizer=adam, optimizer.lr)."
        )
    if metrics["failure"] is not None:
        log.warning("this run is marked failed: %s.", metrics["failure"])
    folder = _shown(run.path)
    log.info(
        "trained in %.0f s, %s tokens/s\nrun folder   %s\n"
        "  metrics.json, config.yaml, checkpoints/best.ckpt, predictions/, train.log\n"
        "next\n  ner-lab predict %s --input FILE\n  ner-lab evaluate %s\n"
        "  ner-lab train char_encoder=bilstm decoder=softmax seed=2",
        metrics["train_seconds"],
        f"{metrics['train_tokens_per_second']:,.0f}",
        folder,
        folder,
        folder,
    )


def _shown(path: Path) -> Path:
    """The path relative to the working folder, if it is inside."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def check_parts(cfg: DictConfig) -> None:
    """Check the settings of all parts, as far as possible before data are read; UserError for an invalid one."""
    for group in ("data", "char_encoder", "encoder", "decoder", "logger"):
        check_part(cfg, group)
    for group, kind in (("word_embedding", WordEmbedding), ("features", FeatureSet), ("optimizer", OptimizerRecipe)):
        check_part(cfg, group, kind)
