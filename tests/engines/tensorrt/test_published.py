"""Without TensorRT: Torch-TensorRT makes one engine of the published model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PRECISIONS = ("float32", "float16")

Ask = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", [(480, 640), (800, 1333)])
def test_the_published_model_is_one_engine(ask: Ask, size: tuple[int, int], precision: str) -> None:
    report = ask(model="swin_t", height=size[0], width=size[1], precision=precision)
    assert report["one_engine"], report
