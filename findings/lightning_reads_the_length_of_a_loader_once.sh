#!/bin/sh
# pytorch-lightning 2.6.6: the number of batches of the first epoch decides about all later ones.
#
# Guess: a train loader whose number of batches differs between epochs (batches cut by a number of tokens, in a new random
# order each epoch) is read to its end in each epoch, and validation follows each. Failing that,
# reload_dataloaders_every_n_epochs=1 makes it so.
# Behaviour: len() is taken once. A longer epoch is cut at the first one's length, a shorter one ends without validation,
# and nothing is logged about either. With reload_dataloaders_every_n_epochs=1, len() is asked before set_epoch(), so it is
# that of the epoch before. A loader without __len__ is read to its end, and validation comes each time.
# Why it matters here: sentences are left out of training, early stopping and the choice of the best epoch never see some
# epochs, and the run ends as if all were well.
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

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
BATCHES = [4, 6, 3, 5]  # of each epoch


class Loader:
    """As many batches as the epoch has."""

    def __init__(self):
        self.sampler, self.batch_sampler, self.epoch = self, None, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter([torch.ones(1, 1)] * BATCHES[self.epoch])


class SizedLoader(Loader):
    def __len__(self):
        return BATCHES[self.epoch]


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.trained, self.validated = [0] * len(BATCHES), [0] * len(BATCHES)

    def training_step(self, batch, index):
        self.trained[self.current_epoch] += 1
        return self.layer(batch).sum()

    def validation_step(self, batch, index):
        self.validated[self.current_epoch] += 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(loader, **options):
    model = Model()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=len(BATCHES), logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False, **options,
    )
    trainer.fit(model, loader, [torch.ones(1, 1)])
    return model.trained, model.validated


print("batches of each epoch       ", BATCHES)
sized = fit(SizedLoader())
print("with a length:       trained", sized[0], " validated", sized[1])
reloaded = fit(SizedLoader(), reload_dataloaders_every_n_epochs=1)
print("reloaded each epoch: trained", reloaded[0], " validated", reloaded[1])
unsized = fit(Loader())
print("without a length:    trained", unsized[0], " validated", unsized[1])
assert sized == ([4, 4, 3, 4], [1, 1, 0, 1]), "the behaviour has changed"
assert reloaded != (BATCHES, [1] * 4), "the behaviour has changed"
assert unsized == (BATCHES, [1] * 4), "the behaviour has changed"
PYTHON
