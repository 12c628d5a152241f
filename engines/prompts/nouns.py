"""Which category a noun is a kind of, or like, by a table made from WordNet (`training/data/nouns.py`)."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parents[2] / "configs" / "words" / "nouns.tsv.gz"
# Before these begins what is said of a thing: "man in a red shirt".
_AFTERWARDS = {"with", "in", "on", "at", "of", "from", "who", "that", "which", "by", "near", "behind", "under", "and"}


@cache
def _table() -> dict[str, tuple[str, bool]]:
    lines = gzip.decompress(TABLE.read_bytes()).decode().splitlines()
    rows = (line.split("\t") for line in lines)
    return {noun: (category, how == "kind") for noun, category, how in rows}


def kind_of(noun: str) -> list[str]:
    """The categories that a noun is a kind of."""
    return _meant(noun, True)


def like(noun: str) -> list[str]:
    """The categories that come nearest to a noun which is a kind of none."""
    return _meant(noun, False)


def _meant(noun: str, as_kind: bool) -> list[str]:
    category, is_kind = _table().get(noun, ("", as_kind))
    if not category or is_kind != as_kind:
        return []
    return ["animal", category] if category == "quadruped" else [category]


def shorter(text: str) -> list[str]:
    """What is said, with less and less said of it: "old man in red", "old man", "man"."""
    words = text.split(" ")
    end = next((i for i, word in enumerate(words) if i and word in _AFTERWARDS), len(words))
    return list(dict.fromkeys([text, *(" ".join(words[first:end]) for first in range(end))]))
