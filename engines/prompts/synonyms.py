"""Other words for the same thing: what training says instead of a category's name, and what people call it."""

from __future__ import annotations

from collections.abc import Iterator

from xpose_stream.engines.prompts.nouns import kind_of

# The same thing in other words. A training says these too, so weights know as many of them as they were trained on.
SYNONYMS = {
    "person": ("human", "pedestrian", "people"),
    "quadruped": ("four legged animal", "animal", "beast"),
    "animal": ("quadruped", "four legged animal"),
    "robot arm": ("robotic arm", "manipulator", "mechanical arm"),
    "hand": ("human hand", "palm and fingers"),
    "chair": ("seat", "four legged chair"),
    "table": ("desk", "dining table"),
    "mug": ("cup", "coffee mug"),
    "drone": ("quadcopter", "quadrotor"),
    "rope": ("cord", "string", "cable"),
    "aeroplane": ("airplane", "plane", "aircraft"),
    "car": ("automobile", "motor car"),
    "bicycle": ("bike", "cycle"),
    "bird": ("flying bird",),
    "desk lamp": ("lamp", "reading lamp"),
}
# Kinds of it, and what else it is called, beside what the table of nouns says. Weights that know the word itself are
# asked with it.
_FOUR_LEGS = ("kitten", "foal", "calf", "lamb", "donkey", "leopard", "pet")
KINDS: dict[str, tuple[str, ...]] = {
    "person": ("human being", "human body", "body", "walker", "passerby"),
    "animal": _FOUR_LEGS,
    "quadruped": _FOUR_LEGS,
    "robot arm": ("robot manipulator", "industrial robot", "arm robot", "cobot", "robot"),
    "hand": ("left hand", "right hand"),
    "face": ("facial landmarks",),
    "chair": ("office chair", "dining chair"),
    "mug": ("teacup", "tea cup", "beaker"),
    "drone": ("uav", "multicopter", "multirotor"),
    "rope": ("wire", "hose", "thread"),
    "aeroplane": ("aircraft model",),
    "car": ("passenger car", "cab", "hatchback"),
    "bicycle": ("push bike", "racing bike", "road bike"),
    "bird": ("chicken", "gull"),
    "desk lamp": ("work lamp",),
    "fly": ("drosophila", "vinegar fly"),
    "locust": ("desert locust",),
    "short sleeved shirt": ("t shirt", "tshirt", "tee"),
    "trousers": ("pants", "jeans", "slacks"),
    "skirt": ("miniskirt",),
}
_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose",
    "calves": "calf", "wolves": "wolf", "gentlemen": "gentleman", "ladies": "lady", "bodies": "body",
    "passersby": "passerby", "oxen": "ox",
}  # fmt: skip
_ARTICLES = {"a", "an", "the", "some", "any", "all", "every", "each"}
_MARKS = str.maketrans(dict.fromkeys(".!?:\"'`´“”‘’„«»()[]{}*", " "))


def spoken(text: str) -> str:
    """What is said, however it is written: lower case, blanks for `_` and `-`, no marks and no article."""
    words = text.casefold().replace("_", " ").replace("-", " ").translate(_MARKS).split()
    while len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    return " ".join(words)


def forms(text: str) -> Iterator[str]:
    """What is said, then what it may be the plural of."""
    yield text
    *before, last = text.split(" ")
    singulars = [_IRREGULAR[last]] if last in _IRREGULAR else []
    if last.endswith("s") and not last.endswith(("ss", "us")) and len(last) > 2:
        singulars += [last[:-1]]
        singulars += [last[:-2]] if last.endswith("es") else []
        singulars += [f"{last[:-3]}y"] if last.endswith("ies") else []
        singulars += [f"{last[:-3]}f", f"{last[:-3]}fe"] if last.endswith("ves") else []
    for singular in singulars:
        yield " ".join([*before, singular])


def meanings(text: str) -> list[str]:
    """The categories that are called so, by another name than their own; those that mean just the same come first."""
    same = [name for name, others in SYNONYMS.items() if text in others]
    return list(dict.fromkeys(same + kinds(text)))


def kinds(text: str) -> list[str]:
    """The categories that this is a kind of, and not just another name of."""
    named = [name for name, others in KINDS.items() if text in others] + kind_of(text)
    return [name for name in dict.fromkeys(named) if text not in SYNONYMS.get(name, ())]
