"""Which keypoint of a category is meant by other words than its own: "left hand wrist", "LWrist", "right foot"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xpose_stream.engines.xpose.text import words_of

_SHORT = {"l": "left", "r": "right"}
# Where nothing is called so, what comes nearest.
_NEAREST = {"foot": "ankle", "hand": "wrist", "head": "nose", "face": "nose", "feet": "ankle"}
# Words by which a training, too, says where a keypoint is: a name that has no others is left as it is.
_WHERE = {"of", "on", "the", "side", "leg", "arm"}


def keypoint_meant(name: str, known: Sequence[str]) -> str | None:
    """The keypoint all of whose words are said, the one with most of them; None where there is none, or more."""
    if name in known:
        return name
    said = {_SHORT.get(word, word) for word in words_of(re.sub(r"(?<=[a-z])(?=[A-Z])|^([LR])(?=[A-Z])", r"\1 ", name))}
    if said & _WHERE and any(set(words_of(each)) >= said - _WHERE for each in known):
        return None
    nearest = said | {_NEAREST[word] for word in said & _NEAREST.keys()}
    for words in (said, nearest):
        fits = sorted((each for each in known if set(words_of(each)) <= words), key=lambda each: -len(words_of(each)))
        if fits and (len(fits) == 1 or len(words_of(fits[0])) > len(words_of(fits[1]))):
            return fits[0]
    return None
