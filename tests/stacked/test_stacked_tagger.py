"""A stack takes the very steps that its members take alone."""

import copy
from collections.abc import Sequence

import pytest
import torch
from lone_runs import Member, as_on_a_gpu, member, train_alone, weights_of

from ner_lab.stacked.lit import StackModule

STEPS = 20
BILSTM_CHARS = ["char_encoder=bilstm_stock", "char_encoder.char_dim=5", "char_encoder.hidden_dim=4"]
CONFIGS = {
    "the default": [],
    "softmax and adamw": ["decoder=softmax", "optimizer=adamw"],
    "char bilstm and sgd": [*BILSTM_CHARS, "optimizer=sgd"],
    "no chars, one direction, clipped values": ["char_encoder=none", "encoder=lstm", "optimizer.clip=value"],
    "no words, no features": ["word_embedding=none", "features=none", "optimizer.clip=none"],
    "no encoder": ["encoder=none", "decoder.hidden_dim=7", "optimizer.loss=sum"],
    "layers of separate directions": [
        "encoder.num_layers=2",
        "encoder.stacks=separate",
        "decoder.output=per_direction",
    ],
    "layers, learnt starts, clipping inside": [
        "encoder.num_layers=2",
        "encoder.learn_initial=true",
        "encoder.clip_gradient=0.01",
        "decoder.stop_score=false",
    ],
    "weight decay, token mean": ["optimizer=sgd", "optimizer.weight_decay=0.01", "optimizer.loss=token_mean"],
    "constraints in the likelihood": ["decoder.constraints=always"],
    "parts without a stacked form": ["encoder=birnn", "char_encoder=cnn_filled", "features=huang"],
}
ALONE = {
    "constraints in the likelihood": ["decoder"],
    "parts without a stacked form": ["chars", "encoder"],
}
"""Parts whose members run one after another"""


def settings(small: Sequence[str], name: str) -> list[str]:
    own = CONFIGS[name]
    chosen = {item.partition("=")[0]: item.partition("=")[2] for item in own}
    fits = {
        "word_embedding.dim": chosen.get("word_embedding") != "none",
        "char_encoder.char_dim": chosen.get("char_encoder") != "none",
        "char_encoder.num_filters": chosen.get("char_encoder") not in ("none", "bilstm_stock"),
        "encoder.hidden_dim": chosen.get("encoder") != "none",
    }
    return [*(item for item in small if fits.get(item.partition("=")[0], True)), *own]


def train_stacked(members: Sequence[Member], *, together: bool) -> tuple[list[list[float]], StackModule]:
    """Take the steps of all members at once, as Lightning has the module take them -> the losses of each."""
    module = StackModule([one.module for one in members], [one.stream for one in members], together=together)
    optimizer = module.configure_optimizers()["optimizer"]  # type: ignore[index]
    losses: list[list[float]] = [[] for _ in members]
    module.on_train_epoch_start()
    for step, batches in enumerate(zip(*(one.batches for one in members), strict=True)):
        before = module.losses.clone()
        loss = module.training_step(list(batches), step)
        module.on_before_zero_grad(optimizer)
        optimizer.zero_grad()
        loss.backward()
        module.on_after_backward()
        module.configure_gradient_clipping(optimizer)
        optimizer.step()
        for number, (one, batch) in enumerate(zip(members, batches, strict=True)):
            own = (module.losses - before)[number]
            recipe = one.module.recipe
            losses[number].append(float(recipe.reduce(own, batch.global_sentences, batch.global_tokens, 1)))
    return losses, module


def check_same(overrides: list[str], *, together: bool, kind: torch.dtype, bound: float) -> StackModule:
    """Both ways, from the same beginnings: the same losses at every step, and the same weights at the end."""
    alone = [member(overrides, seed, steps=STEPS, kind=kind) for seed in (1, 2, 3)]
    stacked = copy.deepcopy(alone)
    expected = [train_alone(one) for one in alone]
    losses, module = train_stacked(stacked, together=together)
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=bound, atol=bound)
    for one, other in zip(alone, stacked, strict=True):
        torch.testing.assert_close(weights_of(other), weights_of(one), rtol=10 * bound, atol=10 * bound)
    assert len({tuple(row) for row in losses}) == 3
    assert losses[0][-1] < losses[0][0]
    return module


@pytest.fixture
def in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_a_gpu(monkeypatch)


@pytest.mark.parametrize("name", CONFIGS)
def test_one_after_another_every_member_takes_the_steps_of_its_lone_run(name: str, small: list[str]) -> None:
    check_same(settings(small, name), together=False, kind=torch.float32, bound=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_as_one_model_every_member_takes_the_steps_of_its_lone_run(
    name: str, small: list[str], in_one_go: None
) -> None:
    module = check_same(settings(small, name), together=True, kind=torch.float64, bound=1e-9)
    assert module.stack.one_by_one() == ALONE.get(name, [])


def test_in_single_precision_steps_are_the_same_up_to_rounding(small: list[str], in_one_go: None) -> None:
    check_same(settings(small, "the default"), together=True, kind=torch.float32, bound=1e-4)
