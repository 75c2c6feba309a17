"""What a part of one's own must keep: each promise that is broken is named, and the check changes nothing."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sample import Outcome

from ner_lab.compose import compose_config
from ner_lab.errors import UserError
from ner_lab.run_folder import RunFolder
from ner_lab.train import train

GOOD = """
import torch
from torch import nn


class Chars(nn.Module):
    def __init__(self, *, chars, **settings):
        super().__init__()
        self.table = nn.Embedding(len(chars), 6, padding_idx=0)
        self.output_dim = 6

    def forward(self, chars, lengths):
        return self.table(chars).sum(dim=1) / lengths[:, None]


class Encoder(nn.Module):
    def __init__(self, *, input_dim):
        super().__init__()
        self.layer = nn.Linear(input_dim, 8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.output_dim = 8

    def forward(self, inputs, lengths):
        return torch.tanh(self.layer(inputs))


class Decoder(nn.Module):
    def __init__(self, *, input_dim, tags, scheme):
        super().__init__()
        self.scores = nn.Linear(input_dim, len(tags))

    def decode(self, hidden, mask, direct=None):
        best = self.scores(hidden).argmax(dim=-1) * mask
        return best

    def loss(self, hidden, tags, mask, direct=None):
        scores = self.scores(hidden)
        losses = nn.functional.cross_entropy(scores.transpose(1, 2), tags, reduction="none")
        return (losses * mask).sum(dim=1)
"""
BROKEN: dict[str, tuple[str, str, str, str]] = {
    "a mean loss": (
        "decoder",
        "return (losses * mask).sum(dim=1)",
        "return (losses * mask).sum() / mask.sum()",
        r"mine.parts.Decoder \(conf: decoder\) gives a tensor of size \(\) .* as `loss`, expected one loss for each "
        r"sentence, \(3,\): the sum over its tokens",
    ),
    "a loss for each token": ("decoder", ".sum(dim=1)\n", "\n", r"expected one loss for each sentence"),
    "a loss over padding": ("decoder", "(losses * mask).sum", "losses.sum", "the padding: the loss of a sentence is"),
    "a detached loss": ("decoder", "sum(dim=1)\n", "sum(dim=1).detach()\n", "a loss without a gradient"),
    "a loss that is no number": ("decoder", "* mask).sum(dim=1)\n", "* mask).sum(dim=1).log() * 0 / 0\n", "not finite"),
    "no output_dim": ("char_encoder", "self.output_dim = 6", "pass", r"Chars \(conf: char_encoder\) has no output_dim"),
    "an untrue output_dim": (
        "char_encoder",
        "self.output_dim = 6",
        "self.output_dim = 7",
        r"char_encoder\) gives a tensor of size \(\d+, 6\) .*, expected \(\d+, 7\): its output_dim is 7",
    ),
    "an encoder of another size": ("encoder", "self.output_dim = 8", "self.output_dim = 9", r"encoder\) gives .* 9\)"),
    "characters of padding": (
        "char_encoder",
        "self.table(chars).sum(dim=1) / lengths[:, None]",
        "self.table(chars).sum(dim=1) / chars.shape[1]",
        r"Chars \(conf: char_encoder\) reads the padding",
    ),
    "an encoder over padding": (
        "encoder",
        "torch.tanh(self.layer(inputs))",
        "torch.tanh(self.layer(inputs) + inputs.shape[1])",
        r"Encoder \(conf: encoder\) reads the padding: a sentence has other vectors alone",
    ),
    "no gradient": (
        "encoder",
        "torch.tanh(self.layer(inputs))",
        "torch.tanh(self.layer(inputs)).detach()",
        r"parameters that the loss gives no gradient",
    ),
    "a parameter without use": ("encoder", ".requires_grad_(False)", "", r"no gradient: frozen\.weight"),
    "an error of its own": (
        "encoder",
        "return torch.tanh",
        "return 1 / 0 or torch.tanh",
        r"Encoder \(conf: encoder\) fails in `forward`: ZeroDivisionError: division by zero \(.*parts\.py:\d+\)",
    ),
    "another constructor": ("encoder", "*, input_dim):", "*, size):", r"encoder: mine.parts.Encoder cannot be made"),
    "no module": (
        "encoder",
        "class Encoder(nn.Module):\n    def __init__(self, *, input_dim):\n        super().__init__()\n",
        "class Encoder:\n    def __init__(self, *, input_dim):\n",
        "makes Encoder, expected a torch.nn.Module",
    ),
}
DECODES = {
    "padding to a tag": ("best * 0 + 1", "decodes padding to other numbers than 0"),
    "a tag that is not there": ("best + 1000 * mask", r"decodes to tag 1\d\d\d, and there are tags 0 to \d+"),
    "to scores": ("best.float()", "expected whole numbers of tags"),
    "by its neighbours": (
        "torch.where(mask.all(dim=1, keepdim=True), best, (best + 1) % 5 * mask)",
        "decodes a sentence to other tags alone than beside a longer one",
    ),
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Writes `mine/parts.py` and options that name its classes; gives the overrides that choose them."""

    def write(code: str) -> list[str]:
        package = tmp_path / "code" / f"mine{abs(hash(code))}"
        package.mkdir(parents=True)
        (package / "parts.py").write_text(code)
        for group, name in (("char_encoder", "Chars"), ("encoder", "Encoder"), ("decoder", "Decoder")):
            option = tmp_path / "conf" / group / "mine.yaml"
            option.parent.mkdir(parents=True, exist_ok=True)
            option.write_text(f"_target_: {package.name}.parts.{name}\n_partial_: true\n")
        monkeypatch.syspath_prepend(str(tmp_path / "code"))
        return ["char_encoder=mine", "encoder=mine", "decoder=mine"]

    return write


def settings_of(small: list[str]) -> list[str]:
    """The small corpus, without the settings of the parts that are replaced."""
    return [one for one in small if not one.startswith(("char_encoder", "encoder", "decoder"))]


def refused(code: str, says: str, mine: Callable[[str], list[str]], small: list[str], tmp_path: Path) -> None:
    cfg = compose_config([*settings_of(small), *mine(code)], [str(tmp_path / "conf")])
    with pytest.raises(UserError, match=says.replace("mine.parts", r"mine\d+\.parts")):
        train(cfg, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("fault", list(BROKEN))
def test_a_part_that_breaks_its_contract_is_refused_before_training(
    fault: str, mine: Callable[[str], list[str]], small: list[str], tmp_path: Path
) -> None:
    _, right, wrong, says = BROKEN[fault]
    assert right in GOOD
    refused(GOOD.replace(right, wrong), says, mine, small, tmp_path)


@pytest.mark.parametrize("fault", list(DECODES))
def test_a_decoder_that_gives_other_tags_is_refused(
    fault: str, mine: Callable[[str], list[str]], small: list[str], tmp_path: Path
) -> None:
    gives, says = DECODES[fault]
    refused(GOOD.replace("return best", f"return {gives}"), says, mine, small, tmp_path)


def test_a_run_with_the_check_equals_one_without(
    mine: Callable[[str], list[str]], small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that draw from all generators, in training and before."""
    drawing = GOOD.replace(
        "return torch.tanh(self.layer(inputs))",
        "shift = random.random() + np.random.rand() + torch.rand(()) if self.training else 0\n"
        "        return torch.tanh(nn.functional.dropout(self.layer(inputs), 0.3, self.training) + shift)",
    )
    overrides = [*settings_of(small), *mine(f"import random\nimport numpy as np\n{drawing}"), "trainer.max_epochs=2"]
    checked: list[Any] = []
    weights = []
    for folder, check in (("with", checked.append), ("without", None)):
        if check is None:
            monkeypatch.setattr("ner_lab.train.has_class_of_ones_own", lambda cfg: False)
        random.seed(3)
        np.random.seed(3)
        train(compose_config(overrides, [str(tmp_path / "conf")]), tmp_path / folder)
        weights.append(RunFolder(tmp_path / folder).read_weights()[0])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_check_tries_a_composition_without_a_run_folder(
    mine: Callable[[str], list[str]],
    small: list[str],
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    good = cli("check", *settings_of(small), *mine(GOOD), "--config-dir", str(tmp_path / "conf"))
    assert good.code == 0, good.said
    assert "all parts keep their contract" in good.out
    assert re.search(r"encoder +mine\d+\.parts\.Encoder +output_dim 8", good.out)
    scalar = GOOD.replace("sum(dim=1)\n", "sum() / mask.sum()\n")
    bad = cli("check", *settings_of(small), *mine(scalar), "--config-dir", str(tmp_path / "conf"))
    assert bad.code == 2
    assert "expected one loss for each sentence" in bad.err
    for wrong in (["decoder=crff"], ["decoder.smoothin=1"], ["--multirun"], ["seed"]):
        assert cli("check", *wrong).code == 2
    assert not list((tmp_path / "empty").iterdir())
