"""The papers' options hold the papers' numbers: each expectation names the table or section it was read in."""

from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from ner_lab.config.compose import CONF_DIR, compose_config, options_of
from ner_lab.training.optimizers.base import optimizer_of

PARTS = ("char_encoder", "features", "encoder", "decoder")
NUMBERS: dict[str, dict[str, Any]] = {
    "ma_hovy2016": {
        "data.name": "conll2003",
        "data.scheme": "IOBES",  # 4.1
        "data.digits": "keep",  # abstract: no pre-processing
        "data.lowercase": False,
        "data.batch_size": 10,  # 3.2
        "data.singleton_unk": 0,
        "word_embedding.dim": 100,  # 3.1: GloVe
        "word_embedding.trainable": True,
        "char_encoder.char_dim": 30,  # 3.1
        "char_encoder.num_filters": 30,  # table 1
        "char_encoder.window": 3,
        "char_encoder.dropout": 0.5,
        "encoder.hidden_dim": 200,  # table 1: state size
        "encoder.num_layers": 1,
        "encoder.input_dropout": 0.5,  # table 1, on input and output vectors
        "encoder.output_dropout": 0.5,
        "encoder.forget_bias": 1.0,  # 3.1
        "encoder.learn_initial": False,  # table 1: initial state 0.0
        "encoder.cell": "stock",  # 2.2.2: no peepholes
        "encoder.clip_gradient": None,
        "decoder.hidden_dim": 0,
        "decoder.constraints": "none",
        "decoder.padding_label_in_sum": False,  # 2.3; true in the code
        "optimizer.lr": 0.015,  # table 1
        "optimizer.momentum": 0.9,  # 3.2
        "optimizer.decay": 0.05,  # table 1
        "optimizer.clip_value": 5.0,  # 3.2
        "trainer.max_epochs": 50,  # 3.2: around epoch 50
    },
    "lample2016": {
        "data.name": "conll2003",
        "data.scheme": "IOBES",  # 2.4
        "data.digits": "zero",  # 5.2
        "data.lowercase": False,
        "data.singleton_unk": 0.5,  # 4.1
        "data.unknown_chars": "skip",
        "word_embedding.dim": 100,  # 4.2, English
        "word_embedding.trainable": True,
        "char_encoder.char_dim": 25,
        "char_encoder.hidden_dim": 25,  # 4.1: 50 in all
        "char_encoder.dropout": 0,
        "char_encoder.cell": "coupled",
        "encoder.cell": "coupled",  # 2.1
        "encoder.hidden_dim": 100,  # 5.1
        "encoder.num_layers": 1,
        "encoder.input_dropout": 0.5,  # 4.3: on the last layer of the embedding
        "encoder.output_dropout": 0,
        "encoder.learn_initial": True,
        "decoder.hidden_dim": 100,
        "decoder.constraints": "none",
    },
    "chiu_nichols2016": {
        "data.name": "conll2003",
        "data.scheme": "IOBES",  # 2.6.3
        "data.digits": "zero_run",  # 3.1
        "data.lowercase": True,  # 2.3.1
        "data.train_on": ["train", "dev"],  # 3.4
        "min_dev_score": 95,  # 3.4: the threshold of a successful trial, in dev F1
        "features.lexicons.senna.matching": "exact",  # table 9
        "features.lexicons.senna.coding": "BIOES",
        "features.lexicons.senna.whole_only": False,  # table 1: 171,142 entries are all lines
        "features.single_token_partial": ["PER"],  # 2.4.2
        "decoder.output": "per_direction",  # 2.1
        "decoder.stop_score": False,  # 2.6.2
        "data.batch_size": 9,  # 2.6.4
        "data.group_by_length": True,
        "word_embedding.trainable": True,  # 2.3.1
        "char_encoder.char_dim": 25,  # 2.3.2
        "char_encoder.char_range": 0.5,
        "char_encoder.num_filters": 53,  # table 3
        "char_encoder.window": 3,
        "char_encoder.char_type_dim": 0,
        "char_encoder.dropout": 0,
        "encoder.hidden_dim": 275,  # table 3
        "encoder.num_layers": 1,
        "encoder.stacks": "separate",
        "encoder.input_dropout": 0,
        "encoder.output_dropout": 0.68,  # table 3
        "optimizer.lr": 0.0105,  # table 3
        "optimizer.momentum": 0,  # 2.6.4
        "optimizer.decay": 0,
        "trainer.max_epochs": 80,  # table 3
        "early_stopping.patience": None,
    },
    "huang2015": {
        "data.name": "conll2003",
        "data.scheme": "IOB2",  # 4.1
        "data.batch_tokens": 100,  # 3
        "features.wiring": "direct",  # 4.2.4
        "features.min_count": 1,
        "decoder.stop_score": False,  # 2.5
        "encoder.hidden_dim": 300,  # 4.3
        "encoder.num_layers": 1,
        "encoder.input_dropout": 0,
        "encoder.output_dropout": 0,
        "optimizer.lr": 0.1,  # 4.3
        "optimizer.momentum": 0,
        "optimizer.decay": 0,
        "trainer.max_epochs": 10,  # 4.3
        "early_stopping.patience": None,
    },
    "lample2016_stack_lstm": {
        "data.digits": "zero",  # 5.2
        "data.singleton_unk": 0.5,  # 4.1
        "decoder.num_layers": 2,  # 5.1
        "decoder.hidden_dim": 100,  # 5.1
        "decoder.action_dim": 16,  # 5.1
        "decoder.label_dim": 20,  # 5.1
        "decoder.dropout": 0.2,  # 5.1, English
    },
    "collobert2011": {
        "data.scheme": "IOBES",  # 3.2.3
        "data.digits": "zero_run",
        "data.lowercase": True,
        "data.batch_size": 1,  # 3.3.3
        "features.dim": 5,  # table 5
        "encoder.window": 5,  # table 5
        "encoder.hidden_dim": 300,  # table 5
        "encoder.input_dropout": 0,
        "decoder.stop_score": False,
        "optimizer.lr": 0.01,  # table 5
        "optimizer.momentum": 0,
        "optimizer.decay": 0,
        "optimizer.loss": "sum",
    },
    "hammerton2003": {"data.name": "conll2003", "features.names": ["pos", "chunk"], "features.dim": None},
    "yang2018": {  # the authors' NCRF++
        "data.digits": "zero",
        "data.scheme": "IOBES",
        "data.batch_size": 10,
        "char_encoder.char_dim": 30,
        "char_encoder.num_filters": 50,
        "char_encoder.window": 3,
        "char_encoder.padding": 1,
        "char_encoder.activation": "none",
        "encoder.hidden_dim": 200,
        "encoder.num_layers": 4,
        "encoder.window": 3,
        "optimizer.lr": 0.005,
        "optimizer.momentum": 0,
        "optimizer.decay": 0.05,
        "optimizer.loss": "sum",
        "trainer.max_epochs": 100,
    },
    "yang2018_word_lstm": {  # the authors' NCRF++
        "data.digits": "zero",
        "data.scheme": "IOBES",
        "data.batch_size": 10,
        "char_encoder.num_filters": 50,
        "encoder.hidden_dim": 100,  # 200 over both directions
        "encoder.num_layers": 1,
        "encoder.input_dropout": 0.5,
        "encoder.output_dropout": 0.5,
        "optimizer.lr": 0.015,
        "optimizer.momentum": 0,
        "optimizer.decay": 0.05,
        "optimizer.weight_decay": 1e-8,
        "optimizer.loss": "sum",
        "trainer.max_epochs": 100,
    },
    "linear_crf": {"data.scheme": "IOB2", "features.wiring": "direct", "encoder.input_dropout": 0},
    "memm": {"data.scheme": "IOB2", "features.wiring": "direct", "encoder.input_dropout": 0},
    "logistic_regression": {"data.scheme": "IOB2", "features.wiring": "direct", "encoder.input_dropout": 0},
    "hmm": {"features.wiring": "counts", "optimizer.lr": 1, "optimizer.loss": "sum", "trainer.max_epochs": 1},
    "naive_bayes": {"features.wiring": "counts", "optimizer.lr": 1, "optimizer.loss": "sum", "trainer.max_epochs": 1},
    "shared_task_baseline": {"data.scheme": "IOB2", "features.scheme": "IOB2", "trainer.max_epochs": 1},
}
CHOSEN = {  # classes: word vectors, letters, features, encoder, decoder, optimizer
    "ma_hovy2016": ("Glove", "CharCNN", "NoFeatures", "BiLSTM", "PairwiseCRF", "SGD"),
    "lample2016": ("Glove", "CharBiLSTM", "NoFeatures", "BiLSTM", "CRF", "SGD"),
    "lample2016_stack_lstm": ("Glove", "CharBiLSTM", "NoFeatures", "NoEncoder", "StackLSTM", "Adam"),
    "chiu_nichols2016": ("Senna", "ChiuCharCNN", "Lexicons", "BiLSTM", "CRF", "SGD"),
    "huang2015": ("Senna", "NoChars", "FeatureUnion", "BiLSTM", "CRF", "SGD"),
    "collobert2011": ("Senna", "NoChars", "Caps", "WindowNetwork", "CRF", "SGDFanIn"),
    "hammerton2003": ("RandomWords", "NoChars", "Columns", "TwoPassLSTM", "Softmax", "SGD"),
    "yang2018": ("Glove", "CharCNN", "NoFeatures", "CNN", "CRF", "SGD"),
    "yang2018_word_lstm": ("Glove", "CharCNN", "NoFeatures", "BiLSTM", "CRF", "SGD"),
    "linear_crf": ("NoWords", "NoChars", "FeatureUnion", "NoEncoder", "CRF", "AdamW"),
    "memm": ("NoWords", "NoChars", "FeatureUnion", "NoEncoder", "MEMM", "AdamW"),
    "logistic_regression": ("NoWords", "NoChars", "FeatureUnion", "NoEncoder", "Softmax", "AdamW"),
    "hmm": ("NoWords", "NoChars", "FeatureUnion", "NoEncoder", "HMM", "SGD"),
    "naive_bayes": ("NoWords", "NoChars", "FeatureUnion", "NoEncoder", "NaiveBayes", "SGD"),
    "shared_task_baseline": ("NoWords", "NoChars", "KnownEntities", "NoEncoder", "Direct", "SGD"),
}
GROUPS = ("word_embedding", *PARTS, "optimizer")
REPORTED = {
    "ma_hovy2016": "91.21",
    "lample2016": "90.94",
    "lample2016_stack_lstm": "90.33",
    "chiu_nichols2016": "91.62",
    "huang2015": "88.83",
    "collobert2011": "88.67",
    "hammerton2003": "60.15",
    "yang2018": "90.43",
    "yang2018_word_lstm": "91.35",
    "linear_crf": "83.02",
    "shared_task_baseline": "59.61",
}


def composed(*overrides: str) -> DictConfig:
    return compose_config(overrides)


@pytest.fixture(scope="module")
def papers() -> dict[str, DictConfig]:
    return {paper: composed(f"paper={paper}") for paper in NUMBERS}


def test_every_paper_is_held_against_its_text() -> None:
    assert set(NUMBERS) == set(CHOSEN) == set(options_of("paper")) - {"none"}


@pytest.mark.parametrize("paper", NUMBERS)
def test_the_numbers_of_the_paper_stand_in_the_config(paper: str, papers: dict[str, DictConfig]) -> None:
    found = {key: OmegaConf.select(papers[paper], key, default="no such key") for key in NUMBERS[paper]}
    assert found == NUMBERS[paper]


@pytest.mark.parametrize("paper", NUMBERS)
def test_all_that_a_papers_file_says_stands_in_the_config(paper: str, papers: dict[str, DictConfig]) -> None:
    said = OmegaConf.load(CONF_DIR / "paper" / f"{paper}.yaml")
    for group in set(map(str, said)) - {"defaults", "min_dev_score"}:
        for key, value in said[group].items():
            assert papers[paper][group][key] == value, f"{group}.{key}"


@pytest.mark.parametrize("paper", NUMBERS)
def test_a_paper_chooses_the_parts_its_header_names(paper: str, papers: dict[str, DictConfig]) -> None:
    targets = tuple(papers[paper][group]["_target_"].rpartition(".")[2] for group in GROUPS)
    assert targets == CHOSEN[paper]


@pytest.mark.parametrize("paper", REPORTED)
def test_a_papers_header_names_the_result_it_aims_at(paper: str) -> None:
    header = (CONF_DIR / "paper" / f"{paper}.yaml").read_text(encoding="utf-8").partition("defaults:")[0]
    assert f"test F1 {REPORTED[paper]}" in header


def test_the_rate_of_ma_and_hovy_falls_as_in_their_section_3_2(papers: dict[str, DictConfig]) -> None:
    recipe = optimizer_of(papers["ma_hovy2016"])
    for done in (0, 1, 10, 49):
        assert recipe.lr * recipe.rate_factor(done) == pytest.approx(0.015 / (1 + 0.05 * done))


@pytest.mark.parametrize("paper", ["lample2016", "chiu_nichols2016", "huang2015"])
def test_the_other_papers_keep_their_rate_where_their_own_recipe_is_chosen(paper: str) -> None:
    own = ["optimizer=sgd_lample", "data.batch_size=1"] if paper == "lample2016" else []
    cfg = composed(f"paper={paper}", *own)
    assert optimizer_of(cfg).rate_factor(50) == 1


def test_the_recipe_of_lample_is_one_override_away() -> None:
    cfg = composed("paper=lample2016", "optimizer=sgd_lample", "data.batch_size=1")
    assert cfg.data.batch_size == 1
    settings = {key: cfg.optimizer[key] for key in ("lr", "momentum", "decay", "clip_value", "loss")}
    assert settings == {"lr": 0.01, "momentum": 0, "decay": 0, "clip_value": 5, "loss": "sum"}  # section 5.1


@pytest.mark.parametrize(
    ("choice", "target"),
    [
        ("decoder=softmax", "ner_lab.models.decoder.softmax.Softmax"),
        ("char_encoder=bilstm", "ner_lab.models.char_encoder.bilstm.CharBiLSTM"),
        ("encoder=birnn", "ner_lab.models.encoder.recurrent.BiRNN"),
        ("word_embedding=random", "ner_lab.models.word_embedding.random.RandomWords"),
        ("features=caps", "ner_lab.models.features.caps.Caps"),
        ("optimizer=adam", "ner_lab.training.optimizers.adam.Adam"),
    ],
)
def test_a_choice_on_the_command_line_wins_over_the_papers(
    choice: str, target: str, papers: dict[str, DictConfig]
) -> None:
    group = choice.partition("=")[0]
    first, last = composed("paper=ma_hovy2016", choice), composed(choice, "paper=ma_hovy2016")
    assert first == last
    assert first[group]["_target_"] == target
    fresh = composed(choice)
    assert first[group] == fresh[group], "no leftovers of the paper's option"
    for other in set(GROUPS) - {group}:
        assert first[other] == papers["ma_hovy2016"][other]


def test_a_number_on_the_command_line_wins_over_the_papers() -> None:
    cfg = composed("optimizer.lr=0.5", "data.scheme=IOB2", "paper=ma_hovy2016", "trainer.max_epochs=3", "data=builtin")
    assert (cfg.optimizer.lr, cfg.data.scheme, cfg.trainer.max_epochs) == (0.5, "IOB2", 3)
    assert cfg.data.name == "builtin"
    assert cfg.data.batch_size == 10


def test_without_a_paper_every_group_has_its_own_default() -> None:
    cfg = composed("paper=none")
    assert cfg == composed()
    assert cfg.data.name == "builtin"
