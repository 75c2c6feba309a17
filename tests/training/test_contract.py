"""What a part of one's own must keep: each promise that is broken is named, and the check changes nothing."""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from sample import Outcome

from ner_lab.cli.check import check
from ner_lab.config.compose import compose_config
from ner_lab.errors import UserError
from ner_lab.runs.folder import RunFolder
from ner_lab.training.train import train

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
        best = (self.scores(hidden) + (0 if direct is None else direct)).argmax(dim=-1) * mask
        return best

    def loss(self, hidden, tags, mask, direct=None):
        scores = self.scores(hidden) + (0 if direct is None else direct)
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
        r"char_encoder\) gives a tensor of size \(\d+, 6\) .*, expected \(\d+, 7\) .*: its output_dim is 7",
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
    "a mean loss in training mode alone": (
        "decoder",
        "return (losses * mask).sum(dim=1)",
        "return (losses * mask).mean() if self.training else (losses * mask).sum(dim=1)",
        "expected one loss for each sentence",
    ),
    "a gradient that is not finite": (
        "encoder",
        "torch.tanh(self.layer(inputs))",
        "torch.where(inputs[..., :1] > 9, self.layer(inputs), (0 * self.layer(inputs)).sqrt())",
        r"the gradient of .* is not finite, .* Check what mine.parts.Chars \(conf: char_encoder\) or .* divides by",
    ),
    "an error in training mode alone": (
        "encoder",
        "return torch.tanh",
        "return 1 / (not self.training) and torch.tanh",
        r"Encoder \(conf: encoder\) fails in `forward`: ZeroDivisionError: division by zero \(.*parts\.py:\d+\)",
    ),
    "random numbers in evaluation": (
        "encoder",
        "torch.tanh(self.layer(inputs))",
        "nn.functional.dropout(self.layer(inputs))",
        r"Encoder \(conf: encoder\) gives other results for the same batch in evaluation mode",
    ),
    "numbers of another type": (
        "char_encoder",
        "self.table(chars).sum(dim=1) / lengths[:, None]",
        "self.table(chars).sum(dim=1).double()",
        r"Chars \(conf: char_encoder\) gives .* \(float64\), expected \(\d+, 6\) \(float32\)",
    ),
    "a list": ("char_encoder", " / lengths[:, None]", ".tolist()", r"char_encoder\) gives list, expected"),
    "a constructor that fails": (
        "encoder",
        "self.frozen =",
        "{}['size']\n        self.frozen =",
        r"encoder: mine.parts.Encoder cannot be made: KeyError: 'size' \(.*parts\.py:\d+\)",
    ),
    "a decoder that is no module": (
        "decoder",
        "class Decoder(nn.Module):\n    def __init__(self, *, input_dim, tags, scheme):\n        super().__init__()\n",
        "class Decoder:\n    def __init__(self, *, input_dim, tags, scheme):\n",
        "makes Decoder, expected a torch.nn.Module",
    ),
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
    "to truth values": ("best > 0", "expected whole numbers of tags"),
    "to scores": ("best.float()", "expected whole numbers of tags"),
    "by its neighbours": (
        "torch.where(mask.all(dim=1, keepdim=True), best, (best + 1) % 5 * mask)",
        "decodes a sentence to other tags alone than beside a longer one",
    ),
}
FEATURES = """
from ner_lab.models.features.base import FeatureSet


class Features(FeatureSet):
    columns = ("length",)

    def learn(self, train):
        return {"seen": [len(train)]}

    def dense(self, sentence):
        return [[str(len(word)) for word in sentence.words]]

    def sparse(self, sentence):
        return [[f"word={word}"] for word in sentence.words] if "1997" in sentence.words else []

    def dims(self):
        return {"length": 3}
"""
WORDS = """
from torch import nn
from ner_lab.models.word_embedding.base import WordEmbedding


class Table(nn.Embedding):
    output_dim = 5


class Words(WordEmbedding):
    def layer(self, *, num_words, num_known, vector_dim):
        return Table(num_words, 5)
"""
OPTIMIZER = """
from torch.optim import SGD
from ner_lab.training.optimizers.base import OptimizerRecipe


class Optimizer(OptimizerRecipe):
    def __init__(self):
        super().__init__(lr=0.1, decay=0, clip="none", clip_value=1, loss="sum")

    def optimizer(self, model):
        return SGD(self.trained(model), lr=self.lr)
"""
SIZED = {"char_encoder": "Chars", "encoder": "Encoder", "decoder": "Decoder"}
WHOLE = {"features": ("Features", FEATURES), "word_embedding": ("Words", WORDS), "optimizer": ("Optimizer", OPTIMIZER)}
BROKEN_WHOLE: dict[str, tuple[str, str, str, str]] = {
    "a plain class": (
        "features",
        "(FeatureSet)",
        "",
        r"Features \(conf: features\) lacks reads, min_count, .*remember",
    ),
    "a value too few": (
        "features",
        "in sentence.words]]",
        "in sentence.words[1:]]]",
        "expected a list for each of its 1",
    ),
    "texts": (
        "features",
        '[f"word={word}"]',
        "word",
        r"returns texts as `sparse` .* expected a list of names for each",
    ),
    "an error": ("features", "str(len(word))", "word.size", r"AttributeError: 'str' object .*parts\.py:\d+\)"),
    "an error in sparse": (
        "features",
        'f"word={word}"',
        'word["x"]',
        r"Features \(conf: features\) fails in `dense` or `sparse`: TypeError: .*parts\.py:\d+\)",
    ),
    "an error in learn": ("features", "len(train)", "1 / 0", r"fails in `learn` or `remember`: ZeroDivisionError: .*"),
    "a constructor that fails": (
        "features",
        "    def learn",
        "    def __init__(self):\n        {}['size']\n\n    def learn",
        r"features: mine.parts.Features cannot be made: KeyError: 'size' \(.*parts\.py:\d+\)",
    ),
    "rows that depend on padding": (
        "features",
        "    def learn",
        "    def layers(self, vocabs, tags):\n        made = super().layers(vocabs, tags)\n"
        "        forward = made.forward\n"
        "        made.forward = lambda batch: forward(batch) + batch.words.shape[1]\n        return made\n\n"
        "    def learn",
        r"Features \(conf: features\) reads the padding",
    ),
    "no size": ("features", '{"length": 3}', "{}", "`dims` has no size for length"),
    "no plain data": (
        "features",
        "[len(train)]",
        "{len(train)}",
        "returns a value from `learn` that JSON cannot represent",
    ),
    "data that JSON changes": ("features", '"seen"', "1", "returns a value from `learn` that JSON cannot represent"),
    "plain words": ("word_embedding", "(WordEmbedding)", "", r"Words \(conf: word_embedding\) lacks .*file, rows"),
    "another layer": (
        "word_embedding",
        "num_known, ",
        "",
        r"Words \(conf: word_embedding\) fails in `layer`: TypeError",
    ),
    "a layer of no size": ("word_embedding", "output_dim = 5", "pass", "has no output_dim"),
    "a torch optimizer": ("optimizer", "(OptimizerRecipe)", "(SGD)", "cannot be made|lacks optimizer"),
    "nothing returned": ("optimizer", "return SGD", "SGD", r"gives NoneType as `optimizer`, expected a torch\.optim"),
    "no constructor called": ("optimizer", "super()", "str", "cannot be made: TypeError"),
    "a failing optimizer": ("optimizer", "lr=self.lr", "lr=self.rate", r"Optimizer \(conf: optimizer\) fails in `opt"),
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Writes `mine/parts.py` and options that name its classes; gives the overrides that choose them."""

    def write(code: str, classes: Mapping[str, str] = SIZED, *, partial: bool | None = True) -> list[str]:
        package = tmp_path / "code" / f"mine{abs(hash(code))}"
        package.mkdir(parents=True)
        (package / "parts.py").write_text(code)
        for group, name in classes.items():
            option = tmp_path / "conf" / group / "mine.yaml"
            option.parent.mkdir(parents=True, exist_ok=True)
            waits = group in SIZED if partial is None else partial  # None: as it should be
            option.write_text(f"_target_: {package.name}.parts.{name}\n_partial_: {str(waits).lower()}\n")
        monkeypatch.syspath_prepend(str(tmp_path / "code"))
        return [f"{group}=mine" for group in classes]

    return write


@pytest.fixture
def composed(mine: Callable[..., list[str]], small: list[str], tmp_path: Path) -> Callable[..., DictConfig]:
    """Composes the small corpus with classes of one's own, given as `mine` takes them."""

    def compose(code: str, classes: Mapping[str, str] = SIZED, *, partial: bool | None = True) -> DictConfig:
        chosen = mine(code, classes, partial=partial)
        return compose_config([*settings_of(small, classes), *chosen], [str(tmp_path / "conf")])

    return compose


def settings_of(small: list[str], groups: Iterable[str] = SIZED) -> list[str]:
    """The small corpus, without the settings of the parts that are replaced."""
    return [one for one in small if not one.startswith(tuple(groups))]


def refused(cfg: DictConfig, says: str, folder: Path) -> None:
    with pytest.raises(UserError, match=says.replace("mine.parts", r"mine\d+\.parts")):
        train(cfg, folder)
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize("fault", list(BROKEN))
def test_a_part_that_breaks_its_contract_is_refused_before_training(
    fault: str, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    _, right, wrong, says = BROKEN[fault]
    assert right in GOOD
    refused(composed(GOOD.replace(right, wrong)), says, tmp_path / "run")


@pytest.mark.parametrize("fault", list(DECODES))
def test_a_decoder_that_gives_other_tags_is_refused(
    fault: str, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    gives, says = DECODES[fault]
    refused(composed(GOOD.replace("return best", f"return {gives}")), says, tmp_path / "run")


@pytest.mark.parametrize("fault", list(BROKEN_WHOLE))
def test_a_part_made_before_the_data_are_read_is_refused_for_what_it_lacks(
    fault: str, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    group, right, wrong, says = BROKEN_WHOLE[fault]
    name, code = WHOLE[group]
    assert right in code
    refused(composed(code.replace(right, wrong), {group: name}, partial=False), says, tmp_path / "run")


@pytest.mark.parametrize("group", ["encoder", *WHOLE])
def test_a_file_that_says_partial_where_it_should_not_or_not_where_it_should_is_named(
    group: str, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    name, code = WHOLE.get(group, ("Encoder", GOOD))
    wrong = composed(code, {group: name}, partial=group != "encoder")
    refused(wrong, rf"{name} \(conf: {group}\) is .* the line `_partial_: true`", tmp_path / "run")


def test_parts_that_keep_their_contract_in_unusual_ways_are_not_refused(composed: Callable[..., DictConfig]) -> None:
    """A parameter that few sentences need, a set without features for some sentences, an optimizer of one's own."""
    rare = GOOD.replace("self.frozen =", "self.rare = nn.Parameter(torch.ones(8))\n        self.frozen =").replace(
        "return torch.tanh(self.layer(inputs))",
        "read = torch.tanh(self.layer(inputs))\n        return read * self.rare if len(lengths) > 9 else read",
    )
    groups = {**SIZED, **{group: name for group, (name, _) in WHOLE.items()}}
    cfg = composed(rare + FEATURES + WORDS + OPTIMIZER, groups, partial=None)
    assert [row[0] for row in check(cfg)] == [
        "word_embedding",
        "char_encoder",
        "features",
        "encoder",
        "decoder",
        "optimizer",
    ]


def test_a_decoder_that_leaves_out_the_scores_of_sparse_features_is_refused(
    mine: Callable[..., list[str]], small: list[str], tmp_path: Path
) -> None:
    parts = mine(GOOD.replace("(0 if direct is None else direct)", "0"))
    cfg = compose_config([*settings_of(small), *parts, "features=huang"], [str(tmp_path / "conf")])
    refused(cfg, r"mine.parts.Decoder \(conf: decoder\) leaves out `direct`", tmp_path / "run")


def test_a_run_with_the_check_equals_one_without(
    mine: Callable[..., list[str]], small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of parts that draw from all generators, and that count how often they are called."""
    drawing = GOOD.replace(
        "self.frozen =", "self.calls, self.seen = 0, nn.Buffer(torch.zeros(()))\n        self.frozen ="
    )
    drawing = drawing.replace(
        "return torch.tanh(self.layer(inputs))",
        "self.calls, self.seen = self.calls + self.training, self.seen + self.training\n"
        "        shift = self.calls + self.seen + random.random() + np.random.rand() + torch.rand(())\n"
        "        read = nn.functional.dropout(self.layer(inputs), 0.3, self.training)\n"
        "        return torch.tanh(read + shift * self.training)",
    )
    overrides = [*settings_of(small), *mine(f"import random\nimport numpy as np\n{drawing}"), "trainer.max_epochs=2"]
    weights = []
    for folder in ("with", "without"):
        if folder == "without":
            monkeypatch.setattr("ner_lab.training.train.has_user_class", lambda cfg: False)
        random.seed(3)
        np.random.seed(3)
        train(compose_config(overrides, [str(tmp_path / "conf")]), tmp_path / folder)
        weights.append(RunFolder(tmp_path / folder).read_weights()[0])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_check_tries_a_composition_without_a_run_folder(
    mine: Callable[..., list[str]],
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
