"""Early stopping."""

import math
from typing import Any

import pytorch_lightning as pl

from ner_lab.errors import check_choice, invalid_value

_RULES = {
    "f1": {"dev/f1": 1},
    "loss_and_accuracy": {"dev/loss": -1, "dev/accuracy": 1},
}
"""The metrics of each rule: 1 if higher is better, -1 if lower is."""


class EarlyStop(pl.Callback):
    """Ends training after a number of consecutive epochs without improvement.

    An epoch improves if one of the rule's metrics is better than in all epochs before.
    Epochs in which dev is not scored are neither good nor bad, and so are those before the first in which an entity is
    predicted on dev: their F1 is 0 however much is learnt.

    rule: `f1`, dev F1; or `loss_and_accuracy`, dev loss and dev accuracy of tokens, of which one
        must get better (the code of Ma & Hovy 2016, with a patience of 5; there the accuracy is that
        of the tags trained with, here of tags written in IOB2).
    patience: epochs without improvement after which training ends; None: never.
    """

    def __init__(self, *, rule: str, patience: int | None) -> None:
        check_choice("early_stopping.rule", rule, list(_RULES))
        if patience is not None and (type(patience) is not int or patience < 1):
            raise invalid_value("early_stopping.patience", patience, "a whole number of at least 1 epoch, or null")
        self.patience = patience
        self.bad_epochs = 0
        self.has_predicted = False
        """Whether an entity was predicted on dev in any epoch so far."""
        self._signs = _RULES[rule]
        self._best = dict.fromkeys(self._signs, -math.inf)

    def state_dict(self) -> dict[str, Any]:
        return {"bad_epochs": self.bad_epochs, "best": dict(self._best), "has_predicted": self.has_predicted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.bad_epochs, self._best = state_dict["bad_epochs"], dict(state_dict["best"])
        self.has_predicted = state_dict["has_predicted"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the epoch just scored with the best."""
        better = False
        for name, sign in self._signs.items():
            figure = sign * float(trainer.callback_metrics[name])
            if figure > self._best[name]:
                self._best[name] = figure
                better = True
        self.has_predicted = self.has_predicted or bool(pl_module.dev_predicted)
        self.bad_epochs = 0 if better or not self.has_predicted else self.bad_epochs + 1
        if self.patience is not None and self.bad_epochs >= self.patience:
            trainer.should_stop = True
