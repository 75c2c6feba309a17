"""When training ends early: an independent count of bad epochs, the rules, and what is refused."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.errors import UserError
from ner_lab.training.callbacks.early_stopping import EarlyStop

Epoch = tuple[float, float, float]  # dev F1, loss, accuracy


def stopped_after(stop: EarlyStop, epochs: list[Epoch]) -> int | None:
    """The number of the epoch that ends training, from 1."""
    trainer = SimpleNamespace(should_stop=False, callback_metrics={})
    for number, (f1, loss, accuracy) in enumerate(epochs, start=1):
        trainer.callback_metrics = {"dev/f1": f1, "dev/loss": loss, "dev/accuracy": accuracy}
        stop.on_validation_end(trainer, SimpleNamespace(dev_predicted=int(f1 > 0)))  # type: ignore[arg-type]
        if trainer.should_stop:
            return number
    return None


def by_f1(*scores: float) -> list[Epoch]:
    return [(score, 1.0, 50.0) for score in scores]


def by_loss_and_accuracy(*figures: tuple[float, float]) -> list[Epoch]:
    return [(50.0, loss, accuracy) for loss, accuracy in figures]


def test_a_better_f1_sets_the_count_of_bad_epochs_back() -> None:
    stop = EarlyStop(rule="f1", patience=2)
    assert stopped_after(stop, by_f1(10, 9, 11, 11, 12, 0, 12, 99)) == 7


def test_an_equal_f1_is_not_better() -> None:
    assert stopped_after(EarlyStop(rule="f1", patience=3), by_f1(5, 5, 5, 5, 5)) == 4


def test_epochs_before_the_first_predicted_entity_use_up_no_patience() -> None:
    assert stopped_after(EarlyStop(rule="f1", patience=2), by_f1(*[0] * 20, 3, 2, 1)) == 23
    assert stopped_after(EarlyStop(rule="f1", patience=2), by_f1(*[0] * 20)) is None
    assert stopped_after(EarlyStop(rule="f1", patience=2), by_f1(3, 0, 0)) == 3, "once predicted, 0 counts"


def test_an_epoch_is_bad_only_if_loss_and_accuracy_both_fail_to_get_better() -> None:
    figures = [
        (1.0, 90.0),
        (1.1, 91.0),  # the accuracy is better
        (0.9, 80.0),  # the loss is better
        (0.9, 91.0),  # bad: as good as the best
        (1.0, 90.5),  # bad: both better than some epoch, not than all
        (2.0, 91.1),  # the accuracy again
        (3.0, 10.0),
        (3.0, 10.0),
        (3.0, 10.0),
        (0.1, 99.0),
    ]
    assert stopped_after(EarlyStop(rule="loss_and_accuracy", patience=3), by_loss_and_accuracy(*figures)) == 9
    assert stopped_after(EarlyStop(rule="loss_and_accuracy", patience=2), by_loss_and_accuracy(*figures)) == 5


def test_a_rule_looks_at_its_own_figures_alone() -> None:
    rising_f1 = [(float(number), 1.0, 50.0) for number in range(9)]
    assert stopped_after(EarlyStop(rule="f1", patience=2), rising_f1) is None
    assert stopped_after(EarlyStop(rule="loss_and_accuracy", patience=2), rising_f1) == 3
    falling_loss = [(1.0, 1.0 / number, 50.0) for number in range(1, 9)]
    assert stopped_after(EarlyStop(rule="loss_and_accuracy", patience=2), falling_loss) is None
    assert stopped_after(EarlyStop(rule="f1", patience=2), falling_loss) == 3


def test_a_loss_that_is_no_number_is_never_better() -> None:
    epochs = by_loss_and_accuracy((1.0, 50.0), (float("nan"), 50.0), (float("inf"), 50.0))
    assert stopped_after(EarlyStop(rule="loss_and_accuracy", patience=2), epochs) == 3


def test_without_patience_training_never_ends() -> None:
    assert stopped_after(EarlyStop(rule="f1", patience=None), by_f1(*range(50, 0, -1))) is None


small = st.integers(0, 3).map(float)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(small, small, small), max_size=12), st.integers(1, 4), st.sampled_from(["f1", "both"]))
def test_training_ends_at_the_first_run_of_bad_epochs_that_is_long_enough(
    epochs: list[Epoch], patience: int, rule: str
) -> None:
    def bad(number: int) -> bool:
        f1, loss, accuracy = epochs[number]
        before = epochs[:number]
        if not any(epoch[0] > 0 for epoch in epochs[: number + 1]):
            return False  # no entity was predicted yet
        if rule == "f1":
            return any(f1 <= other[0] for other in before)
        return any(loss >= other[1] for other in before) and any(accuracy <= other[2] for other in before)

    ends = [
        number + 1
        for number in range(len(epochs))
        if number + 1 >= patience and all(bad(n) for n in range(number + 1 - patience, number + 1))
    ]
    stop = EarlyStop(rule="f1" if rule == "f1" else "loss_and_accuracy", patience=patience)
    assert stopped_after(stop, epochs) == (ends[0] if ends else None)


@pytest.mark.parametrize("patience", [0, -1, 2.5, True, "ten"])
def test_patience_is_a_number_of_epochs(patience: object) -> None:
    with pytest.raises(UserError, match=r"early_stopping\.patience must be .* at least 1 epoch, or null; got"):
        EarlyStop(rule="f1", patience=patience)  # type: ignore[arg-type]


def test_an_unknown_rule_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"early_stopping\.rule must be f1 or loss_and_accuracy"):
        EarlyStop(rule="loss", patience=None)
