"""Without TensorRT: Torch-TensorRT makes one engine of the model, and its converters give the model's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NANO = {"model": "nano", "height": 168, "width": 224}
PRECISIONS = ("float32", "float16")
TOLERANCE = {"float32": 1e-5, "float16": 5e-3}  # of the converters' numbers, relative to the largest

Ask = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "case", [NANO, NANO | {"classes": 3, "keypoints": 5, "batch": 2}], ids=["person", "three classes, batch of two"]
)
def test_nano_is_one_engine_with_the_models_numbers(ask: Ask, case: dict[str, Any], precision: str) -> None:
    report = ask(**case, precision=precision, emulate=True)
    assert report["one_engine"] and report["layers"] > 1000, report
    assert report["error"] < TOLERANCE[precision]


@pytest.mark.parametrize(
    "case",
    [{"precision": "float16"}, {"classes": 3, "keypoints": 5, "batch": 2, "looks": True}],
    ids=["person", "three things by example, batch of two"],
)
def test_eyes_is_one_engine(ask: Ask, case: dict[str, Any]) -> None:
    report = ask(model="eyes", height=192, width=256, **case)
    assert report["one_engine"], report


@pytest.mark.parametrize("precision", PRECISIONS)
def test_swins_windows_convert_to_the_models_numbers(ask: Ask, precision: str) -> None:
    report = ask(model="windows", height=70, width=100, precision=precision, emulate=True)
    assert report["one_engine"], report
    assert report["error"] < TOLERANCE[precision]


@pytest.mark.parametrize("plant", ["boolean index", "long topk", "max with index", "float64"])
def test_an_operation_that_breaks_the_engine_is_found(ask: Ask, plant: str) -> None:
    sound = {"model": "convolution", "height": 40, "width": 40}
    assert ask(**sound)["one_engine"]
    report = ask(**sound, plant=plant)
    assert not report["one_engine"], report


def test_an_operation_planted_in_the_model_is_found(ask: Ask) -> None:
    report = ask(**NANO, plant="boolean index")
    assert not report["one_engine"] and report["data_dependent"], report
