"""Feature sets side by side: what each part gives, the three wirings, the cut-off, and how parts are chosen."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from sample import TRAIN, marked

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch, eval_batches
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.data.sentence import Sentence
from ner_lab.data.vocab import TagVocab
from ner_lab.errors import UserError, user_error_behind
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.models.features.base import FeatureSet
from ner_lab.models.features.caps import Caps
from ner_lab.models.features.columns import Columns
from ner_lab.models.features.context import Context
from ner_lab.models.features.known_entities import KnownEntities
from ner_lab.models.features.none import NoFeatures
from ner_lab.models.features.spelling import Spelling
from ner_lab.models.features.union import FeatureUnion
from ner_lab.models.features.words import Words

TAGS = TagVocab.of(["LOC", "PER"], "IOB2")
SENTENCE = Sentence(["Anna", "saw", "Oslo"], ["B-PER", "O", "B-LOC"], {"pos": ["N", "V", "N"]})
TRAINED_ON = [Sentence(one.words, one.tags()) for one in marked(TRAIN)]


def union(
    parts: dict[str, FeatureSet], wiring: str = "direct", dim: int = 4, smoothing: float = 0.1, min_count: int = 1
) -> FeatureUnion:
    return FeatureUnion(parts=parts, wiring=wiring, dim=dim, smoothing=smoothing, min_count=min_count)


def bigrams() -> Context:
    return Context(ngrams={"word": [[0], [-1, 0]]}, lowercase=False)


def prepared(small: Sequence[str], *overrides: str) -> tuple[Any, Prepared]:
    """The config, and the small corpus prepared under it."""
    cfg = compose_config([*small, *overrides])
    return cfg, prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))


def one_batch(data: Prepared) -> Batch:
    return next(eval_batches(data.splits["dev"], 500))


def active_of(data: Prepared) -> list[list[int]]:
    """Numbers of each dev token's sparse features, sentence after sentence."""
    split = data.splits["dev"]
    return [list(part) for part in np.split(split.sparse, split.sparse_starts[1:-1])]


# what the parts give


def test_dense_columns_are_in_the_order_of_the_parts() -> None:
    first, second = Caps(dim=5), Columns(names=["pos", "chunk"], dim=None)
    features = union({"one": first, "none": NoFeatures(), "other": second})
    assert features.columns == ("caps", "pos", "chunk")
    assert features.dense(SENTENCE) == [*first.dense(SENTENCE), *second.dense(SENTENCE)]
    assert features.dims() == {"caps": 5, "pos": None, "chunk": None}
    turned = union({"other": second, "one": first})
    assert turned.columns == ("pos", "chunk", "caps")
    assert turned.dense(SENTENCE) == [*second.dense(SENTENCE), *first.dense(SENTENCE)]


def test_each_word_has_the_sparse_features_of_all_parts() -> None:
    features = union({"caps": Caps(dim=5), "spelling": Spelling(), "context": bigrams()})
    spelled, placed = Spelling().sparse(SENTENCE), bigrams().sparse(SENTENCE)
    assert features.sparse(SENTENCE) == [first + second for first, second in zip(spelled, placed, strict=True)]
    assert union({"caps": Caps(dim=5), "context": bigrams()}).sparse(SENTENCE) == placed
    assert union({"caps": Caps(dim=5)}).sparse(SENTENCE) == []
    assert union({}).sparse(SENTENCE) == []


def test_a_feature_that_two_parts_find_is_on_once() -> None:
    both = union({"some": bigrams(), "same": Context(ngrams={"word": [[0], [1]]}, lowercase=False)})
    for names in both.sparse(SENTENCE):
        assert len(set(names)) == len(names)
    assert both.sparse(SENTENCE)[1] == ["word:0=saw", "word:-1+0=Anna\tsaw", "word:1=Oslo"]


def test_a_union_reads_each_column_once_that_any_part_reads() -> None:
    placed = Context(ngrams={"word": [[0]], "chunk": [[0]], "pos": [[0]]}, lowercase=False)
    features = union({"columns": Columns(names=["pos"], dim=None), "spelling": Spelling(), "context": placed})
    assert features.reads == ("pos", "chunk")


def test_each_part_learns_and_remembers_separately() -> None:
    features = union({"caps": Caps(dim=5), "words": Words(frequent=2, shared=2), "known": KnownEntities(scheme="IOB2")})
    words, known = Words(frequent=2, shared=2), KnownEntities(scheme="IOB2")
    learnt = features.learn(TRAINED_ON)
    assert learnt == {"caps": None, "words": words.learn(TRAINED_ON), "known": known.learn(TRAINED_ON)}
    assert features.dense(SENTENCE)[1] == ["O", "O", "O"], "nothing is remembered yet"
    for part, own in ((features, learnt), (words, learnt["words"]), (known, learnt["known"])):
        part.remember(own)
    assert features.sparse(SENTENCE) == words.sparse(SENTENCE)
    assert features.dense(SENTENCE)[1:] == known.dense(SENTENCE) == [["O", "O", "B-LOC"]]


# which features are kept


@pytest.mark.parametrize("wiring", ["direct", "encoder"])
def test_a_tokens_features_are_summed_where_they_are_wired(wiring: str, small: list[str]) -> None:
    settings = ["+features@features.parts.caps=caps", f"features.wiring={wiring}", "features.dim=7"]
    cfg, data = prepared(small, "features=huang", *settings)
    layers = feature_set_of(cfg).layers(data.vocabs.features, data.vocabs.tags.items)
    layer, other = (layers.scores, layers.vectors) if wiring == "direct" else (layers.vectors, layers.scores)
    assert other is None
    assert layer.weight.shape == (len(data.vocabs.features.sparse), len(data.vocabs.tags) if wiring == "direct" else 7)
    assert layers.output_dim == (5 if wiring == "direct" else 5 + 7), "caps has 5 dimensions"
    torch.nn.init.normal_(layer.weight)
    batch = one_batch(data)
    vectors = layers(batch)
    assert vectors.shape == (*batch.words.shape, layers.output_dim)
    assert not vectors[~batch.mask].any()
    assert (layers.direct(batch) is None) == (wiring == "encoder")
    sums = layers.direct(batch) if wiring == "direct" else vectors[:, :, 5:]
    active, starts = active_of(data), data.splits["dev"].starts
    for row, number in enumerate(batch.sentences.tolist()):
        for position in range(int(batch.lengths[row])):
            expected = layer.weight[active[starts[number] + position]].sum(dim=0)
            torch.testing.assert_close(sums[row, position], expected)


@pytest.mark.parametrize("least", [1, 2, 5])
def test_features_rarer_in_train_than_the_cut_off_are_left_out(least: int, small: list[str]) -> None:
    cfg, data = prepared(small, "features=huang", f"features.min_count={least}")
    features = feature_set_of(cfg)
    counts = Counter(name for one in TRAINED_ON for names in features.sparse(one) for name in names)
    expected = {name for name, number in counts.items() if number >= least}
    assert set(data.vocabs.features.sparse.items) == expected
    assert len(data.vocabs.features.sparse) == len(expected)
    assert least == 1 or len(expected) < len(counts)
    dev = data.splits["dev"]
    names = [name for one in dev_sentences(data) for of_word in features.sparse(one) for name in of_word]
    assert Counter(data.vocabs.features.sparse.items[number] for number in dev.sparse) == Counter(
        name for name in names if name in expected
    )


def dev_sentences(data: Prepared) -> list[Sentence]:
    split = data.splits["dev"]
    words = [split.words_of(number) for number in range(len(split))]
    return [Sentence(found, ["O"] * len(found)) for found in words]


def test_the_fingerprint_follows_the_features_and_not_their_wiring() -> None:
    def of(parts: dict[str, FeatureSet], **settings: Any) -> dict[str, Any]:
        return union(parts, **settings).fingerprint()

    usual = of({"spelling": Spelling(), "context": bigrams()})
    assert of({"spelling": Spelling(), "context": bigrams()}) == usual
    for settings in ({"wiring": "counts"}, {"wiring": "encoder", "dim": 9}, {"smoothing": 3.0}):
        assert of({"spelling": Spelling(), "context": bigrams()}, **settings) == usual
    lowered = Context(ngrams={"word": [[0], [-1, 0]]}, lowercase=True)
    longer = Context(ngrams={"word": [[0], [-1, 0], [1]]}, lowercase=False)
    others = [
        of({"spelling": Spelling(), "context": lowered}),
        of({"spelling": Spelling(), "context": longer}),
        of({"spelling": Spelling()}),
        of({"spelling": Spelling(), "context": Caps(dim=5)}),
        of({"spelling": Spelling(), "context": bigrams()}, min_count=2),
    ]
    assert all(other != usual for other in others)


# mistakes


def test_two_parts_with_a_column_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="two parts have a column of the same name, among caps, caps"):
        union({"one": Caps(dim=5), "other": Caps(dim=6)})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("features.parts.context=null", "features.parts.context is not a feature set."),
        ("+features.parts.mine={dim: 5}", "features.parts.mine is not a feature set."),
        ("features.parts=null", "features.parts is null"),
        ("features.parts.context.lowercase=???", "features.parts.context.lowercase has no default."),
    ],
)
def test_a_mistake_within_a_part_is_named_with_its_key(override: str, message: str) -> None:
    cfg = compose_config(["features=huang", override])
    with pytest.raises((UserError, InstantiationException)) as error:
        feature_set_of(cfg)
    assert message in str(user_error_behind(error.value))


def test_a_part_of_a_part_is_checked_as_well() -> None:
    added = ["features=huang", "+features@features.parts.more=words"]
    assert feature_set_of(compose_config(added)).parts["more"].parts.keys() == {"words"}
    misspelt = compose_config([*added, "+features.parts.more.parts.words.frequen=1"])
    with pytest.raises(UserError, match=r"Words does not take 'frequen' \(conf: features\.parts\.more\.parts\.words\)"):
        feature_set_of(misspelt)


# how parts are chosen


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ([], ["Spelling", "Context"]),
        (["~features.parts.context"], ["Spelling"]),
        (["~features.parts.context", "~features.parts.spelling"], []),
        (["+features@features.parts.caps=caps"], ["Spelling", "Context", "Caps"]),
        (
            ["+features.parts.caps={_target_: ner_lab.models.features.caps.Caps, dim: 3}"],
            ["Spelling", "Context", "Caps"],
        ),
        (["~features.parts.context", "+features@features.parts.known=known_entities"], ["Spelling", "KnownEntities"]),
    ],
)
def test_parts_are_left_out_and_added_by_overrides(overrides: list[str], parts: list[str]) -> None:
    features = feature_set_of(compose_config(["features=huang", *overrides]))
    assert isinstance(features, FeatureUnion)
    assert [type(part).__name__ for part in features.parts.values()] == parts
