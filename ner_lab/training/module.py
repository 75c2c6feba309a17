"""The LightningModule: steps, logging, optimizer. No maths."""

from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchmetrics import SumMetric

from ner_lab.data.batching.batch import Batch
from ner_lab.data.vocab import Vocabs
from ner_lab.evaluation.span_f1 import SpanF1
from ner_lab.models.build import build_tagger
from ner_lab.training.optimizers.base import optimizer_of

NORM_EVERY = 20  # steps: a norm that clipping does not need takes up to a millisecond of dense gradients


class TaggerModule(pl.LightningModule):
    """Trains a tagger and scores it on dev.

    config, vocabs, labels: plain data, kept in the checkpoint as hyperparameters; the tagger is built
    from them, so a checkpoint loads with `weights_only=True`.
    """

    def __init__(self, config: dict[str, Any], vocabs: dict[str, Any], labels: list[str]) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        cfg = OmegaConf.create(config)
        self.vocabs = Vocabs.from_plain(vocabs)
        self.tagger = build_tagger(cfg, self.vocabs)
        self.recipe = optimizer_of(cfg)
        self.dev_score = SpanF1(labels, self.vocabs.tags.scheme)
        self.dev_loss, self.dev_loss_tokens = SumMetric(nan_strategy="disable"), SumMetric(nan_strategy="disable")
        self.dev_predicted: object = 0
        """Number of entities predicted on dev at its latest scoring."""
        self._reset()

    def on_fit_start(self) -> None:
        # deterministic algorithms would first fill whatever is about to be written, one more kernel for each tensor
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    def on_train_epoch_start(self) -> None:
        self._reset()

    def _reset(self) -> None:
        """Reset the sums over the epoch's steps and their divisors."""
        self._steps = self._tokens = self._norms = 0
        self._window = (0, 0)  # sentences and tokens since the last step
        self._loss: Tensor | float = 0.0
        self._norm: Tensor | float = 0.0
        self.batch_loss = torch.zeros(())
        """Loss of the latest batch, summed over the sentences of this process."""
        self.batch_norm: Tensor | None = None
        """Norm of the gradient at the latest step before clipping, where it was measured."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """This process's share of the loss of the global batch."""
        losses = self.tagger(batch)
        if not batch.counts:
            losses = losses * 0
        accumulated = self.trainer.accumulate_grad_batches
        if accumulated == 1:
            loss = self.recipe.reduce(losses, batch.global_sentences, batch.global_tokens, self.trainer.world_size)
        else:  # batches of one step are summed, whatever Lightning divides by, and divided together before the step
            loss = losses.sum() * (self.trainer.world_size * accumulated)
            self._window = (self._window[0] + batch.global_sentences, self._window[1] + batch.global_tokens)
        # added up here and logged once an epoch: logged at every step, it would take a tenth of the step
        self.batch_loss = losses.detach().sum()
        self._loss = self._loss + self.batch_loss
        self._tokens += batch.global_tokens
        return loss

    def averages(self) -> dict[str, float]:
        """Loss of a token and norm of the gradient, over the steps of this epoch and over all processes."""
        loss = torch.as_tensor(self._loss, device=self.device) * self.trainer.world_size / max(self._tokens, 1)
        norm = torch.as_tensor(self._norm, device=self.device) / max(self._norms, 1)
        found = self.trainer.strategy.reduce(torch.stack([loss, norm]), reduce_op="mean").tolist()
        return dict(zip(("train/loss", "train/gradient_norm"), found, strict=True))

    def on_train_epoch_end(self) -> None:
        self._log_epoch()

    def _log_epoch(self) -> None:
        """Log the epoch, counted from 1, as the x-axis of curves; Lightning counts from 0."""
        self.log("epoch", float(self.current_epoch + 1), sync_dist=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count spans and sum the loss; scores are computed after the last dev batch.

        A tag that train lacks has no likelihood: sentences with one are left out of the loss.
        """
        if not batch.counts:
            return
        whole = (batch.tags < len(self.vocabs.tags)).all(dim=1)  # padding has tag 0
        losses, best = self.tagger.losses_and_decode(replace(batch, tags=batch.tags * whole[:, None]))
        self.dev_score.update(best, batch.tags, batch.mask)
        self.dev_loss.update(torch.where(whole, losses, 0.0).sum())
        self.dev_loss_tokens.update((batch.lengths * whole).sum())

    def on_validation_epoch_end(self) -> None:
        self._log_epoch()
        for name, figure in self.dev_figures().items():
            self.log(name, figure, sync_dist=True)

    def dev_figures(self) -> dict[str, Tensor]:
        """Scores of the dev batches so far, by their logged names; resets the counts."""
        score = self.dev_score.compute()
        self.dev_predicted = score["predicted"]
        figures = {"dev/loss": self.dev_loss.compute() / self.dev_loss_tokens.compute()}
        for name in ("precision", "recall", "f1", "accuracy"):
            figures[f"dev/{name}"] = torch.tensor(score[name])
        for entity_type, numbers in score["per_type"].items():  # type: ignore[attr-defined]
            figures[f"dev/{entity_type}/f1"] = torch.tensor(numbers["f1"])
        for counted in (self.dev_score, self.dev_loss, self.dev_loss_tokens):
            counted.reset()
        return figures

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.recipe.optimizer(self.tagger)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.recipe.rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if self.trainer.accumulate_grad_batches > 1:
            self.recipe.scale_gradients(trained, 1 / self.recipe.divisor(*self._window))
            self._window = (0, 0)
        norm = self.recipe.clip_gradients(trained, measure=self._steps % NORM_EVERY == 0)
        self._steps += 1
        self.batch_norm = norm
        if norm is not None:
            self._norm = self._norm + norm
            self._norms += 1
