"""A tagger gives the same tags in double precision and on a GPU, but where two readings are as good as equal."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch, eval_batches
from ner_lab.data.preparation import prepare
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.models.tagger import Tagger
from ner_lab.training.train import untrained_module

TIE = 1e-4
"""Difference of log-likelihood within which two readings of a sentence count as equally good."""
CASES = {
    "crf": [],
    "crf_pairwise": ["char_encoder=bilstm", "decoder=crf_pairwise"],
    "softmax": ["encoder=cnn", "decoder=softmax"],
    "sparse features": ["features=huang", "encoder=none_dry"],
}
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@dataclass
class Trained:
    """A tagger after some steps, on the CPU, and batches that it has not seen."""

    tagger: Tagger
    batches: list[Batch]


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, marks=() if case in ("crf", "softmax") else pytest.mark.soak) for case in CASES],
)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    cfg = compose_config(["data=builtin", "run_name=agreement", *CASES[request.param]])
    prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))
    module = untrained_module(cfg, prepared).train()
    optimizer = module.recipe.optimizer(module.tagger)
    for number, batch in enumerate(eval_batches(prepared.splits["train"], 700)):
        if number == 12:
            break
        optimizer.zero_grad()
        module.recipe.reduce(module.tagger(batch), len(batch), int(batch.mask.sum()), 1).backward()
        module.recipe.clip_gradients(list(module.tagger.parameters()))
        optimizer.step()
    return Trained(module.tagger.eval(), list(eval_batches(prepared.splits["dev"], 500))[::4])


def disagreements(trained: Trained, other: Tagger, device: str, kind: torch.dtype) -> Iterator[float]:
    """By how much one reading is more likely than the other, where the two taggers' readings differ."""
    exact = copy.deepcopy(trained.tagger).double()
    other = other.to(device, kind)
    with torch.inference_mode():
        for batch in trained.batches:
            here, there = trained.tagger.decode(batch), other.decode(batch.to(device)).cpu()
            likely = [exact.losses(replace(batch, tags=tags)) for tags in (here, there)]
            differ = (here != there).any(dim=1)
            yield from (likely[0] - likely[1]).abs()[differ].tolist()


def test_double_precision_tags_alike_up_to_ties(trained: Trained) -> None:
    found = list(disagreements(trained, copy.deepcopy(trained.tagger), "cpu", torch.double))
    assert all(gap < TIE for gap in found), found


def test_another_tagger_does_not(trained: Trained) -> None:
    other = copy.deepcopy(trained.tagger)
    with torch.no_grad():
        for weight in other.decoder.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)), alpha=0.3)
    assert any(gap > TIE for gap in disagreements(trained, other, "cpu", torch.float32))


@needs_gpu
def test_a_gpu_tags_as_a_cpu_does_up_to_ties(trained: Trained) -> None:
    # without TF32, torch's default in cuDNN's LSTM, which keeps three decimals
    with torch.backends.cudnn.flags(allow_tf32=False):
        found = list(disagreements(trained, copy.deepcopy(trained.tagger), "cuda", torch.float32))
    assert all(gap < TIE for gap in found), found
    sentences = sum(len(batch) for batch in trained.batches)
    assert len(found) < sentences / 50, "ties are rare"


@needs_gpu
def test_a_gpus_losses_are_a_cpus(trained: Trained) -> None:
    other = copy.deepcopy(trained.tagger).cuda()
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        for batch in trained.batches:
            here, there = trained.tagger.losses(batch), other.losses(batch.to("cuda")).cpu()
            torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-4)
