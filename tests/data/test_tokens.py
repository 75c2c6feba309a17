"""Running text to words: what stays whole, what comes off, and no letter lost or moved."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.tokenization import sentences_in, tokenize

news = st.lists(
    st.sampled_from(
        ["Ashby", "'s", "n't", "do", "U.S.", "J.", "A", "3", ".", ",", "6-4", '"', "'", "(", ")", "-", "...", "’", "”"]
        + [" ", " ", " ", "\n", "\n\n", "\t", "@", "http://", "www.", "é", "Mr.", "No.", "?", "!", "/", "&", "\u00a0"]
    ),
    max_size=25,
).map("".join)
texts = st.one_of(news, st.text(max_size=40))


def words(text: str) -> list[str]:
    return [token.text for token in tokenize(text)]


def sentences(text: str) -> list[str]:
    return [" ".join(token.text for token in sentence) for sentence in sentences_in(text)]


@settings(max_examples=200, deadline=None)
@given(text=texts, offset=st.integers(0, 99))
def test_tokens_are_the_text_at_their_places_in_order_and_only_blanks_lie_between(text: str, offset: int) -> None:
    done = 0
    for token in tokenize(text, offset):
        assert token.text == text[token.start - offset : token.end - offset]
        assert token.text.split() == [token.text]  # not empty, and no blank within
        assert text[done : token.start - offset].strip() == ""
        done = token.end - offset
    assert text[done:].strip() == ""


@settings(max_examples=200, deadline=None)
@given(text=texts, offset=st.integers(0, 99))
def test_sentences_share_out_the_text_without_loss_and_none_is_empty(text: str, offset: int) -> None:
    found = list(sentences_in(text, offset))
    assert all(found)
    tokens = [token for sentence in found for token in sentence]
    assert "".join(token.text for token in tokens) == "".join(text.split())
    assert all(token.text == text[token.start - offset : token.end - offset] for token in tokens)
    assert all(a.end <= b.start for a, b in pairwise(tokens))


@settings(max_examples=50, deadline=None)
@given(texts, texts)
def test_an_empty_line_is_always_a_border(before: str, after: str) -> None:
    assert sentences(f"{before}\n\n{after}") == sentences(before) + sentences(after)


@pytest.mark.parametrize(
    "text",
    [
        "Tom Ashby sang .",
        'said , " no " ; yes : ( maybe ) ? !',
        "U.S. a.m. U.N. e.g.",
        "J. R. Ashby met T.S. Eliot",
        "Mr. Mrs. Dr. Corp. St. John",
        "No. 3 seed",
        "1,000.5 2:14.07 6-4 7-6 1996-08-22 3rd 1990s 21st 12:30 1/2",
        "cross-border pro-Western AT&T O'Neill Jean-Paul km/h",
        "$ 5 and 3 % of £ 8",
        "https://example.org/a?b=1&c=2 www.example.org/x tom.ashby@example.org",
        "... -- `` ''",
        "Málaga São 東京 Øresund naïve",
    ],
)
def test_text_already_in_words_stays_as_it_is(text: str) -> None:
    assert words(text) == text.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ashby's boat", "Ashby 's boat"),
        ("the boys' boat", "the boys ' boat"),
        ("O'Neill's", "O'Neill 's"),
        ("He'll, I'm, we've, they're, she'd", "He 'll , I 'm , we 've , they 're , she 'd"),
        ("don't can't Isn't", "do n't ca n't Is n't"),
        ("U.S.'s", "U.S. 's"),
        ("Ashby’s boat", "Ashby ’s boat"),
        ("don’t", "do n’t"),
        ("O’Neill’s", "O’Neill ’s"),
        ("the boys’ boat", "the boys ’ boat"),
    ],
)
def test_clitics_come_off_whatever_the_apostrophe(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Rain," he said.', '" Rain , " he said .'),
        ("(AP) - HULL, 3-1; YORK", "( AP ) - HULL , 3-1 ; YORK"),
        ("Wait... what?!", "Wait ... what ? !"),
        ("3% of $5", "3 % of $ 5"),
        ("“Rain”", "“ Rain ”"),
        ("see http://example.org/a.", "see http://example.org/a ."),
        ("(http://example.org), www.example.org!", "( http://example.org ) , www.example.org !"),
        ("mail tom@example.org.", "mail tom@example.org ."),
        ("in 1996.", "in 1996 ."),
        ("scored 21.5, then 6.", "scored 21.5 , then 6 ."),
        ("Hull.York", "Hull.York"),
        ("3.York", "3 . York"),
        ("F1 B-52", "F1 B-52"),
    ],
)
def test_punctuation_stands_alone(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("Rain. Sun.", ["Rain .", "Sun ."]),
        ("Rain! Sun? Fog", ["Rain !", "Sun ?", "Fog"]),
        ("Rain... Sun", ["Rain ...", "Sun"]),
        ("It cost 3. 20 were sold.", ["It cost 3 .", "20 were sold ."]),
        ('He said. "Go."', ["He said .", '" Go . "']),
        ('"Go." He left.', ['" Go . "', "He left ."]),
        ("He left. (She stayed.) Rain.", ["He left .", "( She stayed . )", "Rain ."]),
        ("“Go.” He left.", ["“ Go . ”", "He left ."]),
        ("Go. he said", ["Go . he said"]),
        ("Dr. Ashby met Mr. Bute of Corrigan Corp. Sunday.", ["Dr. Ashby met Mr. Bute of Corrigan Corp. Sunday ."]),
        ("J. R. Ashby, U.S. envoy", ["J. R. Ashby , U.S. envoy"]),
        ("one line\nand the next", ["one line and the next"]),
        ("a headline\n\nRain fell.", ["a headline", "Rain fell ."]),
        ("a headline\n \t\r\n\n\nRain", ["a headline", "Rain"]),
        ("a headline\r\n\r\nRain", ["a headline", "Rain"]),
        ("See http://example.org. Then go.", ["See http://example.org .", "Then go ."]),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_places_are_counted_in_characters_from_the_offset() -> None:
    (sentence,) = sentences_in("Málaga 😀 won", offset=10)
    assert sentence == [("Málaga", 10, 16), ("😀", 17, 18), ("won", 19, 22)]


def test_a_long_line_has_the_words_of_its_parts() -> None:
    text = "Ashby's cross-border AT&T talks, at 2:14.07 on 1996-08-22, cost $1,000.5; he didn't pay. "
    assert words(text * 2000) == words(text) * 2000


@pytest.mark.parametrize(
    "unit", ["a", "+", "1", ".", "-", "a-", "a.", "a/1", "+.", "a'b.", "_", "'", "x@", "www.(", "A. ", "1-", "n't"]
)
@pytest.mark.parametrize("before", ["", "+" * 70 + "@"])
def test_a_long_run_of_anything_is_read_in_one_go(before: str, unit: str) -> None:
    """What is quadratic takes minutes here."""
    text = before + unit * 100_000
    assert "".join(words(text)) == text.replace(" ", "")


@pytest.mark.parametrize("word", ["a" * 200, "a-" * 20 + "b", "a.b" * 20])
def test_clitics_come_off_long_words(word: str) -> None:
    assert words(f"{word}'s") == [word, "'s"]
