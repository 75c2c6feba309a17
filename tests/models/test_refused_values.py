"""Values that no part can have are refused with their keys; the wording is that of one formatter."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.errors import UserError, check_choice, invalid_value
from ner_lab.models.build import build_tagger, feature_set_of, word_embedding_of
from ner_lab.models.layers.checks import check_int_range, check_positive


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("split", "", "a.key must be odd; got 'split'."),
        (0.5, "Use 1.", "a.key must be odd; got 0.5. Use 1."),
        (None, "", "a.key must be odd; got null."),
    ],
)
def test_a_message_has_the_key_what_was_expected_what_was_given_and_a_hint(
    value: Any, hint: str, expected: str
) -> None:
    assert str(invalid_value("a.key", value, "odd", hint)) == expected


def test_choices_and_ranges_are_listed() -> None:
    with pytest.raises(UserError, match=r"^a\.b must be x or y; got 'z'\.$"):
        check_choice("a.b", "z", ["x", "y"])
    with pytest.raises(UserError, match=r"^a\.b must be one of w, x, y; got 'z'\.$"):
        check_choice("a.b", "z", ["w", "x", "y"])
    with pytest.raises(UserError, match=r"^a\.b must be a whole number from 1 to 1,000; got 0\.$"):
        check_int_range(1, "a", most=1000, b=0)
    with pytest.raises(UserError, match=r"^a\.c must be above 0; got nan\.$"):
        check_positive("a", b=None, c=float("nan"))


@pytest.fixture(scope="module")
def prepared(corpus: Path) -> Prepared:
    cfg = compose_config(
        ["data=files", f"data.train={corpus / 'train.conll'}", "word_embedding=random", "features=none"]
    )
    return prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))


NOTHING = "word_embedding=none char_encoder=none"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("encoder.hidden_dim=0", "encoder.hidden_dim must be a whole number from 1"),
        ("encoder.num_layers=0", "encoder.num_layers must be at least 1; got 0. Use encoder=none"),
        ("encoder.stacks=split", "encoder.stacks must be joint or separate"),
        ("encoder.cell=gru", "encoder.cell must be one of stock, peephole, coupled"),
        ("encoder.clip_gradient=0", "encoder.clip_gradient must be above 0"),
        ("encoder=lstm_two_pass encoder.cell=gru", "encoder.cell must be"),
        ("encoder=cnn encoder.window=4", "encoder.window must be an odd number"),
        ("encoder=cnn encoder.num_layers=0", "encoder.num_layers must be"),
        ("encoder=window encoder.window=2", "encoder.window must be"),
        ("encoder=sentence_network encoder.window=-3", "encoder.window must be"),
        ("encoder=sentence_network encoder.max_distance=0", "encoder.max_distance must be"),
        *((f"encoder={name} {NOTHING}", "Choose one of them") for name in ("lstm", "cnn", "window", "lstm_two_pass")),
        ("char_encoder.activation=gelu", "char_encoder.activation must be one of none, tanh, relu"),
        ("char_encoder=cnn_filled char_encoder.fill_to=0", "char_encoder.fill_to must be"),
        ("char_encoder=bilstm char_encoder.cell=gru", "char_encoder.cell must be"),
        ("char_encoder=bilstm char_encoder.clip_gradient=-1", "char_encoder.clip_gradient must be"),
        ("decoder.constraints=train", "decoder.constraints must be one of none, decode, always"),
        ("decoder=softmax decoder.constraints=always", "decoder.constraints must be none or decode"),
        ("decoder=memm decoder.constraints=always", "decoder.constraints must be none or decode"),
        ("decoder=memm decoder.previous=own", "decoder.previous must be shared or each"),
        ("decoder=crf_pairwise decoder.constraints=train", "decoder.constraints must be"),
        ("decoder.output=both", "decoder.output must be linear or per_direction"),
        ("decoder.output=per_direction decoder.hidden_dim=100", "Use decoder.hidden_dim=0"),
        ("decoder.output=per_direction encoder=lstm encoder.hidden_dim=7", "Use encoder=bilstm"),
        ("decoder=hmm decoder.smoothing=0", "decoder.smoothing must be above 0"),
        ("decoder=naive_bayes decoder.smoothing=-1", "decoder.smoothing must be above 0"),
        ("decoder=stack_lstm decoder.outside=none", "decoder.outside must be token or composed"),
        ("decoder=stack_lstm decoder.chunk_layers=0", "decoder.chunk_layers must be"),
        ("features=columns features.dim=0", "features.dim must be a whole number from 1"),
        ("features=gazetteer features.dim=-1", "features.dim must be a whole number from 0"),
        ("features=lexicons features.dim=0", "features.dim must be"),
        ("features=words features.parts.words.shared=0", "features.shared must be"),
        ("features=huang features.wiring=sideways", "features.wiring must be one of direct, encoder, counts"),
        ("features=huang features.min_count=0", "features.min_count must be"),
        ("features=huang features.smoothing=0", "features.smoothing must be above 0"),
        ("word_embedding=file word_embedding.path=x word_embedding.lookup=[upper]", "'upper' is not a look-up step"),
    ],
)
def test_a_value_that_a_part_cannot_have_is_refused_with_its_key(
    overrides: str, message: str, prepared: Prepared
) -> None:
    choices = [word for word in overrides.split() if "." not in word.partition("=")[0]]
    cfg = compose_config(["data=files", "word_embedding=random", "features=none", *choices])
    for key, _, value in (word.partition("=") for word in overrides.split() if word not in choices):
        OmegaConf.update(cfg, key, yaml.safe_load(value))
    with pytest.raises(UserError) as error:
        build_tagger(cfg, prepared.vocabs)
    assert message in str(error.value)
