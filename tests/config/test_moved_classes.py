"""Classes that moved to another module are found under their former names."""

import importlib

import pytest

from ner_lab.config.renames import current_target

MERGED = {
    "encoder": {"bilstm": "BiLSTM", "birnn": "BiRNN", "lstm": "LSTM", "rnn": "RNN"},
    "word_embedding": {"word2vec": "Word2Vec", "skip_ngram": "SkipNGram"},
    "optimizer": {"adamw": "AdamW", "nadam": "Nadam"},
}
PACKAGES = {"encoder": "models.encoder", "word_embedding": "models.word_embedding", "optimizer": "training.optimizers"}


@pytest.mark.parametrize("current_package", [False, True], ids=["first layout", "present packages"])
@pytest.mark.parametrize(("group", "module"), [(group, module) for group in MERGED for module in MERGED[group]])
def test_a_class_of_a_merged_module_is_found(group: str, module: str, current_package: bool) -> None:
    package = PACKAGES[group] if current_package else group
    name = MERGED[group][module]
    found, _, class_name = current_target(f"ner_lab.{package}.{module}.{name}").rpartition(".")
    assert class_name == name
    assert getattr(importlib.import_module(found), name).__name__ == name


def test_a_class_of_a_like_named_module_elsewhere_stays() -> None:
    target = "ner_lab.models.char_encoder.bilstm.CharBiLSTM"
    assert current_target(target) == target
    assert current_target("ner_lab.char_encoder.bilstm.CharBiLSTM") == target
