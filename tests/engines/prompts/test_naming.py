"""Prompts in people's words mean what the weights know, however they are written."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from xpose_stream.engines import NANO, Checkpoint, load, prompts_for
from xpose_stream.engines.prompts.bank import embed_prompts
from xpose_stream.engines.prompts.naming import FAR, known_skeletons, read_prompts, understood
from xpose_stream.engines.prompts.places import keypoint_meant
from xpose_stream.engines.prompts.prompt import Prompt, find_skeletons
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.prompts.synonyms import KINDS, SYNONYMS, forms, meanings, spoken
from xpose_stream.engines.xpose.text import PromptError, UnknownPrompt, WordEncoder


@pytest.fixture(scope="module")
def nano() -> Checkpoint:
    return load(NANO)


def named(text: str, encoder: WordEncoder | None) -> list[str]:
    return [prompt.skeleton.category for prompt in read_prompts(text, encoder)]


def taken(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "is taken for" in record.message]


@pytest.mark.parametrize(
    "text",
    ["person", "Person", "PERSONS", "person.", "a person", "The  person", "persons", '"person"', "person, ",
     " ,person,", "person\n", "an_person!", "“person”", "all persons", "\u00a0person\u3000"],
)  # fmt: skip
def test_how_it_is_written_does_not_matter(nano: Checkpoint, text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert named(text, nano.text_encoder) == ["person"] and not taken(caplog)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("people", "person"), ("human", "person"), ("man", "person"), ("women", "person"),
     ("two legged children", "person"), ("nurse", "person"),
     ("old man in a red shirt", "person"), ("a lady with a dog", "person"),
     ("dog", "quadruped"), ("big Dogs", "quadruped"), ("wolves", "quadruped"), ("puppies", "quadruped"),
     ("plane", "aeroplane"), ("airplanes", "aeroplane"), ("cup", "mug"), ("coffee-mugs", "mug"), ("desk", "table"),
     ("robot", "robot arm"), ("robotic_arm", "robot arm"), ("quadcopters", "drone"), ("left hand", "hand"),
     ("glasses", None), ("bus", None), ("s", None), ("unicorn", None), ("fly", None), ("the", None)],
)  # fmt: skip
def test_what_the_weights_know_under_another_name_is_taken_for_that_and_said_once(
    nano: Checkpoint, text: str, meant: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if meant is None:
        with pytest.raises(UnknownPrompt) as error:
            read_prompts(text, nano.text_encoder)
        told = str(error.value)
        assert told.startswith(f"The prompt '{text}' is unknown to these weights; they know: person, ")
        assert all(
            f" {name}" not in told.split("know:")[1] for name in ("fly", "locust", "skirt", "face", "people", "desk")
        )
        return
    assert named(text, nano.text_encoder) == [meant]
    assert taken(caplog) == [f"'{text}' is taken for '{meant}', which is what these weights know"]


@pytest.mark.parametrize(
    ("text", "meant"), [("elephant", "quadruped"), ("mice", "quadruped"), ("stools", "chair"), ("lizard", "quadruped")]
)
def test_what_is_only_like_something_known_is_taken_for_it_with_a_warning(
    nano: Checkpoint, text: str, meant: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert named(text, nano.text_encoder) == [meant]
    assert taken(caplog) == [FAR % (text, meant)]


@pytest.mark.parametrize("text", ["whale", "monkey", "bottle", "dog house", "chair leg", "of", "in red"])
def test_what_is_like_nothing_known_is_refused(nano: Checkpoint, text: str) -> None:
    with pytest.raises(UnknownPrompt, match="is unknown to these weights; they know: person, "):
        read_prompts(text, nano.text_encoder)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("left hand wrist", "left_wrist"), ("LWrist", "left_wrist"), ("r_ankle", "right_ankle"),
     ("Right Foot", "right_ankle"),
     ("left_eye", "left_eye"), ("head", "nose"), ("wrist", None), ("left pinky", None), ("knee of the left leg", None)],
)  # fmt: skip
def test_a_keypoint_called_otherwise_means_the_one_all_of_whose_words_are_said(said: str, meant: str | None) -> None:
    (person,) = find_skeletons(["person"])
    assert keypoint_meant(said, person.keypoints) == meant


def test_keypoints_called_otherwise_are_asked_for_by_their_own_names_and_that_is_said(
    nano: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    own = Skeleton("man", ("nose", "left hand wrist", "RWrist"), (), (), (0.05,) * 3)
    bank = embed_prompts([Prompt(own, words=True)], nano)
    (usual,) = find_skeletons(["person"])
    whole = embed_prompts([Prompt(usual)], nano)
    rows = [usual.keypoints.index(name) for name in ("nose", "left_wrist", "right_wrist")]
    assert torch.equal(bank.keypoints[0], whole.keypoints[0, rows]) and torch.equal(bank.instances, whole.instances)
    assert taken(caplog) == [f"'{said}' is taken for '{name}', which is what these weights know" for said, name in
                             (("left hand wrist", "left wrist"), ("RWrist", "right wrist"))]  # fmt: skip


def test_each_of_several_is_understood(nano: Checkpoint) -> None:
    assert named("People; dogs,\n the cups", nano.text_encoder) == ["person", "quadruped", "mug"]
    bank = prompts_for(nano, "people, a Dog,")
    assert bank.name == "person, quadruped" and bank.keypoint_mask.shape[0] == 2


def test_every_shipped_word_is_understood_by_the_shipped_weights(nano: Checkpoint) -> None:
    """What a training says instead of a name is understood where the name is."""
    known = known_skeletons(nano.text_encoder)
    assert len(known) == 11
    for category in known:
        for word in (*SYNONYMS.get(category, ()), *KINDS.get(category, ())):
            assert named(word, nano.text_encoder)[0] in known
            plural = word if word.endswith("s") else f"{word}s"
            assert named(f"The {plural.upper()}.", nano.text_encoder)[0] in known


def encoder_of(*categories: str) -> WordEncoder:
    """An encoder that was trained on these and on all words of a quadruped's keypoints."""
    names = load(NANO).text_encoder
    assert names is not None
    return WordEncoder([*names.vocabulary, *{w for c in categories for w in c.split()}], 32, categories)


def test_weights_that_know_the_word_itself_are_asked_with_it(caplog: pytest.LogCaptureFixture) -> None:
    (prompt,) = read_prompts("dogs", encoder_of("quadruped", "dog"))
    assert prompt.skeleton.category == "dog" and not taken(caplog)
    (usual,) = read_prompts("quadruped", encoder_of("quadruped", "dog"))
    assert prompt.skeleton == replace(usual.skeleton, category="dog")
    assert named("dogs", encoder_of("quadruped")) == ["quadruped"] and len(taken(caplog)) == 1


def test_clip_knows_all_words_but_needs_a_skeleton() -> None:
    assert named("Dogs, people, FLY, pants, the t-shirt", None) == ["dog", "person", "fly", "pants", "t shirt"]
    assert len(understood("horse", None).skeleton.keypoints) == 17
    with pytest.raises(UnknownPrompt, match=r"no skeleton for 'unicorn' in .*; there are: aeroplane, animal"):
        understood("unicorn", None)


@pytest.mark.parametrize("text", ["a person and a dog", "person & dog", "Person/dogs", "persons or dog", "person+dog"])
def test_what_people_join_by_other_than_commas_is_understood(nano: Checkpoint, text: str) -> None:
    assert named(text, nano.text_encoder) == ["person", "quadruped"]
    with pytest.raises(UnknownPrompt, match="The prompt 'salt and pepper' is unknown"):
        read_prompts("salt and pepper", nano.text_encoder)


def test_a_misspelt_word_is_answered_with_the_one_that_is_meant(nano: Checkpoint) -> None:
    with pytest.raises(UnknownPrompt, match=r"table; did you mean 'person'\?$"):
        read_prompts("preson", nano.text_encoder)
    with pytest.raises(UnknownPrompt) as error:
        read_prompts("x" * 5000, nano.text_encoder)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["", ",", " . "])
def test_what_is_nothing_is_refused(nano: Checkpoint, text: str) -> None:
    with pytest.raises(PromptError, match="names nothing; write categories with commas between them"):
        read_prompts(text, nano.text_encoder)


@pytest.mark.parametrize(
    ("text", "both"),
    [("person, people", "'person' and 'people'"), ("dog, cat", "'dog' and 'cat'"), ("mug; mug", "'mug' twice")],
)
def test_what_is_the_same_to_the_weights_is_asked_for_once(nano: Checkpoint, text: str, both: str) -> None:
    with pytest.raises(PromptError, match=f"asks for {both}, which is the same '.*' here; name it once"):
        read_prompts(text, nano.text_encoder)


def test_plurals_and_marks_are_those_of_words() -> None:
    assert spoken("  The_Robot-Arm!! ") == "robot arm" and spoken("A") == "a" and spoken("...") == ""
    assert "robot arm" in forms("robot arms") and "calf" in forms("calves") and "knife" in forms("knives")
    assert list(forms("bus")) == ["bus"] and "bu" not in forms("bus") and list(forms("glass")) == ["glass"]
    assert meanings("dog") == ["animal", "quadruped"] and meanings("nothing") == []
