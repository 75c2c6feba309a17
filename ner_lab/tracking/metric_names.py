"""Names of a run's numbers, tables and images at W&B, to which dashboards may refer."""

EPOCH = "epoch"
"""What curves go over."""

DEV_F1 = "dev/f1"
TEST_F1 = "test/f1"

CURVES = {
    "train/loss": "training loss for each token",
    "dev/loss": "dev loss for each token",
    DEV_F1: "dev F1 (%)",
    "dev/precision": "dev precision (%)",
    "dev/recall": "dev recall (%)",
    "dev/accuracy": "dev token accuracy (%)",
    "train/learning_rate": "learning rate",
    "train/gradient_norm": "norm of the gradients before clipping",
    "train/tokens_per_second": "training speed (tokens/s)",
}
"""Curves over epochs, and what they show."""

TYPE_CURVES = r"dev/[^/]+/f1"
"""The curves of single entity types, `dev/PER/f1`."""

SUMMARY = {
    DEV_F1: "dev F1 of the epoch kept (%)",
    TEST_F1: "test F1 of the epoch kept (%)",
    "best_epoch": "epoch kept",
    "train_seconds": "training time (s)",
    "train_tokens_per_second": "training speed (tokens/s)",
    "parameters/all": "numbers in the tagger",
}
"""Numbers of a finished run, and what they are."""

CONFUSION = "{split}/confusion"
CONFUSION_TABLE = "{split}/confusion_table"
"""Under which wandb puts the numbers of the chart."""
MISTAKES = "{split}/mistakes"
COVERAGE = "coverage"
TRANSITIONS = "transitions/scores"
TRANSITION_MAP = "transitions/map"
