"""The LightningModule: steps, logging, optimizer. No maths."""

from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchmetrics import SumMetric

from ner_lab.build import build_tagger, optimizer_of
from ner_lab.data.batch import Batch
from ner_lab.data.vocab import Vocabs
from ner_lab.metric import SpanF1

_NORM_EVERY = 20  # steps: a norm that clipping does not need takes up to a millisecond of dense gradients


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
        self._steps = 0

    def on_train_epoch_start(self) -> None:
        self._steps = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The part of this process in the loss of the global batch."""
        losses = self.tagger(batch)
        if not batch.counts:
            losses = losses * 0
        loss = self.recipe.reduce(losses, batch.global_sentences, batch.global_tokens, self.trainer.world_size)
        # every process weighs its part alike: Lightning averages the weights as whole numbers
        per_token = losses.detach().sum() * (self.trainer.world_size / batch.global_tokens)
        self.log("train/loss", per_token, on_step=False, on_epoch=True, sync_dist=True, batch_size=batch.global_tokens)
        return loss

    def on_train_epoch_end(self) -> None:
        self._log_epoch()

    def _log_epoch(self) -> None:
        """What curves go over, counted from 1; without it Lightning counts from 0."""
        self.log("epoch", float(self.current_epoch + 1), sync_dist=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count spans and sum the loss; what they come to is computed when all of dev is through.

        A tag that train lacks has no likelihood: sentences with one are left out of the loss.
        """
        if not batch.counts:
            return
        whole = (batch.tags < len(self.vocabs.tags)).all(dim=1)  # padding has tag 0
        losses, best = self.tagger.losses_and_decode(replace(batch, tags=batch.tags * whole[:, None]))
        self.dev_score.update(best, batch.tags, batch.mask)
        self.dev_loss.update(losses[whole].sum())
        self.dev_loss_tokens.update(batch.lengths[whole].sum())

    def on_validation_epoch_end(self) -> None:
        self._log_epoch()
        score = self.dev_score.compute()
        self.dev_score.reset()
        self.log("dev/loss", self.dev_loss.compute() / self.dev_loss_tokens.compute(), sync_dist=True)
        self.dev_loss.reset()
        self.dev_loss_tokens.reset()
        for name in ("precision", "recall", "f1", "accuracy"):
            self.log(f"dev/{name}", torch.tensor(score[name]), sync_dist=True)
        for entity_type, numbers in score["per_type"].items():  # type: ignore[attr-defined]
            self.log(f"dev/{entity_type}/f1", torch.tensor(numbers["f1"]), sync_dist=True)

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
        norm = self.recipe.clip_gradients(trained, measure=self._steps % _NORM_EVERY == 0)
        self._steps += 1
        if norm is not None:
            self.log("train/gradient_norm", norm, on_step=False, on_epoch=True, sync_dist=True, batch_size=1)
