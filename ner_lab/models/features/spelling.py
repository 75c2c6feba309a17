"""Spelling features of Huang et al. 2015, section 4.2.1."""

import re
from functools import lru_cache

from ner_lab.data.sentence import Sentence
from ner_lab.models.features.base import FeatureSet

_RUNS = re.compile(r"(.)\1+")


class Spelling(FeatureSet):
    """The paper's twelve kinds of spelling features and the lower-cased word, on/off for each word."""

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        """For each word, its `spelling`."""
        return [spelling(word) for word in sentence.words]


@lru_cache(maxsize=1 << 17)
def spelling(word: str) -> list[str]:
    """Names of the features of a word, `template=value`; the list is shared and must not be changed."""
    letters = "".join(filter(str.isalpha, word))
    others = "".join(char for char in word if not char.isalpha())
    pattern = word_pattern(word)
    switches = {
        "initial_capital": word[:1].isupper(),
        "all_capitals": bool(letters) and letters.isupper(),
        "all_lower": bool(letters) and letters.islower(),
        "inner_capital": any(char.isupper() for char in word[1:]),
        "letters_and_digits": bool(letters) and any(map(str.isdigit, word)),
        "punctuation": any(not char.isalnum() for char in word),
        "apostrophe_s": word.endswith("'s"),
    }
    return [
        f"lower={word.lower()}",
        *(f"is={name}" for name, on in switches.items() if on),
        *(f"prefix{size}={word[:size]}" for size in range(2, 6) if len(word) >= size),
        *(f"suffix{size}={word[-size:]}" for size in range(2, 6) if len(word) >= size),
        f"letters={letters}",
        f"non_letters={others}",
        f"pattern={pattern}",
        f"summary={pattern_summary(pattern)}",
    ]


def word_pattern(word: str) -> str:
    """Upper case as A, lower case as a, digits as 0, all else kept: `D56y-3` -> `A00a-0`."""
    return "".join(
        "A" if char.isupper() else "a" if char.islower() else "0" if char.isdigit() else char for char in word
    )


def pattern_summary(pattern: str) -> str:
    """A pattern with runs of one character collapsed: `A00a-0` -> `A0a-0`."""
    return _RUNS.sub(r"\1", pattern)
