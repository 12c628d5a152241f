"""Prompts in people's words: which category a name means, and by which of its names the weights know it."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches

from xpose_stream.engines.prompts.nouns import like, shorter
from xpose_stream.engines.prompts.places import keypoint_meant
from xpose_stream.engines.prompts.prompt import SKELETONS, Prompt, instance_text, is_file, keypoint_text, skeleton_files
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.prompts.synonyms import SYNONYMS, forms, kinds, meanings, spoken
from xpose_stream.engines.xpose.text import PromptError, UnknownPrompt, WordEncoder, words_of

_AND = re.compile(r"\s+(?:and|or)\s+|\s*[&+/|]\s*", re.IGNORECASE)
_NEAR = 0.75  # how alike a word is to one that is misspelt
_QUOTED = 60  # characters of a prompt

log = logging.getLogger(__name__)
TAKEN = "'%s' is taken for '%s', which is what these weights know"
FAR = "'%s' is taken for '%s', which comes nearest to it and is something else: it may not be found, or badly"


def read_prompts(text: str, encoder: WordEncoder | None) -> list[Prompt]:
    """The prompts in a text: categories in people's words and paths of prompt files, with commas between.

    Case, plural, articles, marks and blanks do not matter. A name that the weights know under another one is taken for
    that, which is logged. `encoder` is that of the weights, None for CLIP, which knows all words. Raises PromptError.
    """
    names = [part.strip() for part in re.split(r"[,;\n]", text)]
    names = [name for name in names if is_file(name) or spoken(name)]
    read = [(name, prompt) for name in names for prompt in _read(name, encoder)]
    if not read:
        raise PromptError(f"The prompt '{text}' names nothing; write categories with commas between them.")
    first: dict[str, str] = {}
    for name, prompt in read:
        category = instance_text(prompt.skeleton.category)
        if category in first:
            both = f"'{first[category]}' and '{name}'" if first[category] != name else f"'{name}' twice"
            raise PromptError(f"The prompt asks for {both}, which is the same '{category}' here; name it once.")
        first[category] = name
    return [prompt for _, prompt in read]


def _read(name: str, encoder: WordEncoder | None) -> list[Prompt]:
    """What one name asks for: several categories only where it is none, as "a person and a dog"."""
    if is_file(name):
        return [Prompt.load(name)]
    parts = _AND.split(name)
    try:
        return [understood(name, encoder, whole=len(parts) > 1)]
    except UnknownPrompt:
        with suppress(UnknownPrompt):
            if parts[1:]:
                return [understood(part, encoder) for part in parts]
        raise


def understood(name: str, encoder: WordEncoder | None, whole: bool = False) -> Prompt:
    """The category that is meant by a name, or by what it says of a thing ("old man"), unless it is to be the `whole`.

    Raises UnknownPrompt listing what these weights know.
    """
    known = known_skeletons(encoder)
    for said in [spoken(name)] if whole else shorter(spoken(name)):
        prompt = _named(name, said, known, encoder)
        if prompt is not None:
            return prompt
    near = get_close_matches(spoken(name), known, 1, _NEAR)
    listed = f"{', '.join(known)}" + (f"; did you mean '{near[0]}'?" if near else ".")
    name = name if len(name) <= _QUOTED else f"{name[:_QUOTED]}…"
    if encoder is None:
        raise UnknownPrompt(f"There is no skeleton for '{name}' in {SKELETONS}; there are: {listed}")
    raise UnknownPrompt(f"The prompt '{name}' is unknown to these weights; they know: {listed}")


def _named(name: str, said: str, known: dict[str, Skeleton], encoder: WordEncoder | None) -> Prompt | None:
    """What is known of what is said: itself, what it is a kind of, or what it is like, which is told."""
    for form in forms(said):
        if form in known:
            if said != spoken(name):
                log.warning(TAKEN, name, form)
            return Prompt(known[form])
    for form in forms(said):
        alike = like(form)
        for category in sorted((each for each in meanings(form) or alike if each in known), key=list(known).index):
            skeleton = known[category]
            if category in kinds(form) + alike and (encoder is None or encoder.knows(form)):
                return Prompt(replace(skeleton, category=form))
            log.warning(TAKEN if category in meanings(form) else FAR, name, skeleton.category)
            return Prompt(skeleton)
    return None


def known_skeletons(encoder: WordEncoder | None) -> dict[str, Skeleton]:
    """The skeleton files of what weights know, by name, in the order in which they learnt it."""
    found = {name: Skeleton.load(path) for name, path in skeleton_files().items()}
    if encoder is None:
        return found
    order = [instance_text(category) for category in encoder.categories]
    readable = [name for name, skeleton in found.items() if can_read(encoder, skeleton)]
    return {name: found[name] for name in sorted(readable, key=order.index)}


def can_read(encoder: WordEncoder, skeleton: Skeleton) -> bool:
    """Whether an encoder was trained on a category and on every word of its keypoints."""
    every = {word for name in encoder.vocabulary for word in words_of(name)}
    words = {word for keypoint in skeleton.keypoints for word in words_of(keypoint)}
    return instance_text(skeleton.category) in encoder.categories and words <= every


def worded(prompt: Prompt, encoder: WordEncoder | None) -> Prompt:
    """A prompt that says whether it is in words: one that leaves it open is, where the weights know them.

    A category that the weights know by another name is asked for by that. Raises UnknownPrompt for words that must be
    known and are not.
    """
    if prompt.words is False or encoder is None:
        return replace(prompt, words=prompt.words is not False)
    skeleton = prompt.skeleton
    if not encoder.knows(skeleton.category):
        other = _other_name(skeleton.category, encoder)
        if other is None and prompt.words is None:
            return replace(prompt, words=False)
        if other is None:
            known = ", ".join(encoder.categories)
            raise UnknownPrompt(f"The prompt '{skeleton.category}' is unknown to these weights; they know: {known}.")
        skeleton = replace(skeleton, category=other)
    skeleton = _with_known_keypoints(skeleton)
    if prompt.words is None and not can_read(encoder, skeleton):
        return replace(prompt, words=False)
    return replace(prompt, skeleton=skeleton, words=True)


def _with_known_keypoints(skeleton: Skeleton) -> Skeleton:
    """The skeleton with keypoints that are called otherwise by the names of its category's file, which is logged."""
    path = skeleton_files().get(instance_text(skeleton.category))
    if path is None:
        return skeleton
    known = Skeleton.load(path).keypoints
    meant = [keypoint_meant(name, known) or name for name in skeleton.keypoints]
    if len(set(meant)) < len(meant):
        return skeleton
    for name, taken in zip(skeleton.keypoints, meant, strict=True):
        if name != taken:
            log.warning(TAKEN, name, keypoint_text(taken))
    return replace(skeleton, keypoints=tuple(meant))


def _other_name(category: str, encoder: WordEncoder) -> str | None:
    """By which name weights know what is called so, if they do."""
    for form in forms(spoken(category)):
        named = [form, *(other for name in (form, *meanings(form)) for other in (name, *SYNONYMS.get(name, ())))]
        for name in named:
            if encoder.knows(name):
                return name
    return None
