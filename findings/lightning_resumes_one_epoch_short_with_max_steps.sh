#!/bin/sh
# pytorch-lightning 2.6.6: a run resumed from the checkpoint of an epoch's end trains an epoch too few if max_steps is set.
#
# Guess: with ModelCheckpoint(save_on_train_epoch_end=True), a run resumed from the checkpoint of epoch 1 trains the epochs
# that are left, as an uninterrupted run does, whether max_epochs or max_steps or both end it.
# Behaviour: so it is with max_epochs alone. With max_steps as well, even one that is far away, on_train_epoch_end of the
# finished epoch is called again, and the epoch is counted twice: the run ends an epoch early, without a word.
# Why it matters here: what counts epochs (early stopping, learning rates, curves) sees one twice, and a resumed run is not
# the run that it continues.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 pytorch-lightning==2.6.6 numpy
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import logging
import warnings

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.ended = []

    def training_step(self, batch, index):
        return self.layer(batch[0]).sum()

    def on_train_epoch_end(self):
        self.ended.append(self.current_epoch + 1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, checkpoint=None, **limits):
    model = Model()
    keep = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=[keep], logger=False, enable_progress_bar=False, enable_model_summary=False, **limits
    )
    trainer.fit(model, DataLoader(TensorDataset(torch.ones(4, 1))), ckpt_path=checkpoint)
    return model.ended, trainer.global_step


seen = {}
for name, limits in {"max_epochs=3": {}, "max_epochs=3 max_steps=100": {"max_steps": 100}}.items():
    whole = fit(name, max_epochs=3, **limits)
    resumed = fit(f"{name} resumed", f"{name}/epoch=0.ckpt", max_epochs=3, **limits)
    print(f"{name:27} epochs ended, steps: uninterrupted {whole}, resumed after epoch 1 {resumed}")
    seen[name] = whole, resumed
whole = ([1, 2, 3], 12)
assert seen["max_epochs=3"] == (whole, ([2, 3], 12)), "the behaviour has changed"
assert seen["max_epochs=3 max_steps=100"][0] == whole, "the behaviour has changed"
assert seen["max_epochs=3 max_steps=100"][1] == ([1, 2], 9), "the behaviour has changed"
PYTHON
