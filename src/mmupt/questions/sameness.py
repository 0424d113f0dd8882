"""Are two questions the same, or nearly so? By the words they share: no second model, no vectors.

Case, punctuation, spaces and spelling of full-width letters do not matter; numbers and signs of calculation do. Nearly
the same is a Jaccard index of `NEAR` or more over single words and pairs of neighbouring words. So "Add the red dice."
and "Add the blue dice." are two questions (0.4), while one word more or less in a longer sentence makes no new one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

NEAR = 0.7
"""The similarity from which on two questions are near-duplicates: in a sentence of nine words or more (characters of a
script that writes no words apart) a single other one, in a shorter one none."""

# A word, a character of a script that writes none apart, or a sign that changes what is asked.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\d+(?:\.\d+)?|[^\W\d_]+|[+\-*/=<>%°^√π∠]")
_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")


def tokens(text: str) -> tuple[str, ...]:
    """The words of a text, as they are compared.

    >>> tokens("What is  2+3.5, Well-Known?")
    ('what', 'is', '2', '+', '3.5', 'well', 'known')
    """
    plain = unicodedata.normalize("NFKC", text.replace("<image>", " ")).casefold()
    return tuple(_TOKEN.findall(_HYPHEN.sub(" ", plain)))


def same_question(one: str, other: str) -> bool:
    """Whether two questions have the same words in the same order. Texts without a word are never the same."""
    words = tokens(one)
    return bool(words) and words == tokens(other)


def similarity(one: str, other: str) -> float:
    """In [0, 1]: the Jaccard index of the multisets of words and pairs of words; 0.0 where one of them has no words.

    >>> round(similarity("How many red dice?", "How many blue dice?"), 2)
    0.4
    """
    mine, its = _grams(one), _grams(other)
    union = (mine | its).total()
    return (mine & its).total() / union if union else 0.0


def closest(text: str, others: Sequence[str]) -> tuple[float, str | None]:
    """The largest similarity of a text to any of the others, and that other one; (0.0, None) without others."""
    found = max(((similarity(text, other), -i) for i, other in enumerate(others)), default=None)
    return (0.0, None) if found is None else (found[0], others[-found[1]])


def clusters(texts: Sequence[str | None], near: float = NEAR) -> list[tuple[int, ...]]:
    """Indices of texts that are linked by a similarity of `near` or more, directly or through others (single linkage),
    largest cluster first, then by first member. None is in no cluster."""
    places = [i for i, text in enumerate(texts) if text is not None]
    root = {i: i for i in places}

    def top(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    for k, i in enumerate(places):
        for j in places[:k]:
            if similarity(texts[i] or "", texts[j] or "") >= near or texts[i] == texts[j]:
                low, high = sorted((top(i), top(j)))
                root[high] = low
    members: dict[int, list[int]] = {}
    for i in places:
        members.setdefault(top(i), []).append(i)
    return sorted((tuple(found) for found in members.values()), key=lambda c: (-len(c), c[0]))


@lru_cache(maxsize=8192)
def _grams(text: str) -> Counter[str]:
    words = tokens(text)
    return Counter([*words, *(f"{first} {second}" for first, second in pairwise(words))])
