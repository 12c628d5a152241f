from __future__ import annotations

import copy
import getpass
import logging
import os
import pwd
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xpose_stream.engines import engine as engine_module
from xpose_stream.engines.backends import Backend
from xpose_stream.engines.backends.openvino import _beside as beside
from xpose_stream.engines.cache import EngineCache
from xpose_stream.engines.engine import (
    CompiledEngine,
    EagerEngine,
    EngineError,
    PinnedPrompts,
    build_engine,
    fold_batch_norms,
)
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.constants import SizeConstants
from xpose_stream.engines.xpose.deformable import sample_maps, sample_rows

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def nano() -> XPose:
    torch.manual_seed(0)
    model = XPose(XPoseConfig.nano())
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


@pytest.fixture
def eager(nano: XPose) -> EagerEngine:
    return EagerEngine(copy.deepcopy(nano), CPU)


def prompts(classes: int = 1, keypoints: int = 17) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(classes, keypoints, dtype=torch.bool)
    return torch.randn(classes, 128), torch.randn(classes, keypoints, 128), mask


class Planted:
    """A backend that runs the model itself, its answer changed by `change`."""

    name = "planted"

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda boxes: boxes) -> None:
        self.change, self.built = change, 0

    def unavailable(self, device: torch.device, precision: str) -> str | None:
        return None

    def build(self, model: nn.Module, inputs: tuple[Tensor, ...], precision: str, path: Path) -> None:
        self.built += 1
        self.model = model
        path.write_bytes(b"planted")

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
        def run(*given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            logits, boxes, keypoints = self.model(*given)
            return logits, self.change(boxes), keypoints

        return run


def compiled(eager: EagerEngine, folder: Path, *able: Backend) -> CompiledEngine:
    return CompiledEngine(eager, able, "float32", EngineCache(folder))


def test_the_eager_engine_answers_what_the_model_answers(nano: XPose, eager: EagerEngine) -> None:
    images = torch.randn(2, 3, 144, 192)
    instances, keypoints, mask = prompts()
    answer = eager(images, eager.pin(instances, keypoints, mask))
    with torch.enable_grad():  # the model with autograd takes the other sampling path
        expected = nano(images, instances, keypoints[0])
    assert answer.visibility is None and answer.spread is None
    for got, wanted in zip(answer[:3], expected[:3], strict=True):
        torch.testing.assert_close(got, wanted.detach(), atol=1e-4, rtol=1e-4)


def test_folding_batch_norms_leaves_none_and_changes_nothing(nano: XPose) -> None:
    images = torch.randn(1, 3, 144, 192)
    folded = fold_batch_norms(copy.deepcopy(nano))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    for got, wanted in zip(folded.backbone(images), nano.backbone(images), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_a_mask_is_pinned_only_where_a_class_lacks_keypoints(eager: EagerEngine) -> None:
    instances, keypoints, mask = prompts(classes=2, keypoints=5)
    assert eager.pin(instances, keypoints, mask).keypoint_mask is None
    mask[1, 3:] = False
    assert eager.pin(instances, keypoints, mask).keypoint_mask is not None


@pytest.mark.parametrize("masked", [False, True])
def test_openvino_is_the_choice_on_a_cpu_and_answers_what_eager_answers(
    nano: XPose, eager: EagerEngine, tmp_path: Path, masked: bool
) -> None:
    images = torch.rand(2, 3, 144, 192)
    instances, keypoints, mask = prompts(classes=2, keypoints=7)
    mask[1, 5:] = not masked
    engine = build_engine(copy.deepcopy(nano), "cpu", cache=EngineCache(tmp_path))
    pinned = engine.pin(instances, keypoints, mask)
    assert engine.prepare(images, pinned) == "openvino"
    for got, wanted in zip(engine(images, pinned), eager(images, pinned), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("batch", "threads", "at_once"), [(1, 2, 1), (2, 2, 2), (3, 2, 1), (4, 16, 4), (8, 2, 2)])
def test_openvino_lets_the_images_of_a_batch_share_the_threads_so_that_none_waits(
    monkeypatch: pytest.MonkeyPatch, batch: int, threads: int, at_once: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert beside(torch.empty(batch, 3, 8, 8)) == at_once


def test_openvinos_answers_stay_when_the_next_batch_is_answered(
    nano: XPose, eager: EagerEngine, tmp_path: Path
) -> None:
    first, second = torch.rand(2, 3, 144, 192), torch.rand(2, 3, 144, 192)
    engine = build_engine(copy.deepcopy(nano), "cpu", "openvino", cache=EngineCache(tmp_path))
    pinned = engine.pin(*prompts())
    assert engine.prepare(first, pinned) == "openvino"
    kept = engine(first, pinned)
    engine(second, pinned)
    for got, wanted in zip(kept.parts, eager(first, pinned).parts, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_an_engine_is_built_once_and_then_loaded_from_the_cache(eager: EagerEngine, tmp_path: Path) -> None:
    images, pinned = torch.rand(1, 3, 144, 192), eager.pin(*prompts())
    backend = Planted()
    for _ in range(2):
        assert compiled(eager, tmp_path, backend).prepare(images, pinned) == "planted"
    assert backend.built == 1
    compiled(eager, tmp_path, backend).prepare(torch.rand(1, 3, 144, 160), pinned)
    assert backend.built == 2, "another size is another engine"


def test_an_engine_of_other_code_is_built_anew(
    eager: EagerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, pinned = torch.rand(1, 3, 144, 192), eager.pin(*prompts())
    backend = Planted()
    for code in ("before", "after"):
        monkeypatch.setattr(engine_module, "_code", lambda code=code: code)
        assert compiled(eager, tmp_path, backend).prepare(images, pinned) == "planted"
    assert backend.built == 2


def test_an_engine_cut_short_on_disk_is_built_again(eager: EagerEngine, tmp_path: Path) -> None:
    images, pinned = torch.rand(1, 3, 144, 192), eager.pin(*prompts())
    backend = Planted()
    compiled(eager, tmp_path, backend).prepare(images, pinned)
    (file,) = tmp_path.glob("*.pt2")
    file.write_bytes(file.read_bytes()[:-3])
    assert compiled(eager, tmp_path, backend).prepare(images, pinned) == "planted"
    assert backend.built == 2


def test_an_engine_with_other_answers_is_refused_and_the_next_one_taken(
    eager: EagerEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, pinned = torch.rand(1, 3, 144, 192), eager.pin(*prompts())
    wrong = Planted(lambda boxes: boxes + 0.01)
    wrong.name = "wrong"
    engine = compiled(eager, tmp_path, wrong, Planted())
    with caplog.at_level(logging.WARNING):
        assert engine.prepare(images, pinned) == "planted"
        engine(images, pinned)
    (record,) = caplog.records
    assert "wrong is passed over: boxes or keypoints are" in record.getMessage()
    assert compiled(eager, tmp_path, wrong).prepare(images, pinned) == "eager"


def test_equal_images_of_a_batch_must_get_equal_answers(eager: EagerEngine, tmp_path: Path) -> None:
    images, pinned = torch.rand(2, 3, 144, 192), eager.pin(*prompts())
    expected = eager(images, pinned).boxes

    def mix_up(boxes: Tensor) -> Tensor:  # right for the first call only
        return boxes if torch.allclose(boxes, expected) else boxes + 0.01 * torch.tensor([0.0, 1.0]).view(-1, 1, 1)

    assert compiled(eager, tmp_path, Planted(mix_up)).prepare(images, pinned) == "eager"


def test_a_backend_that_raises_is_passed_over(eager: EagerEngine, tmp_path: Path) -> None:
    class Broken(Planted):
        def build(self, *_: object) -> None:
            raise RuntimeError("no such kernel\nand more lines")

    images, pinned = torch.rand(1, 3, 144, 192), eager.pin(*prompts())
    assert compiled(eager, tmp_path, Broken()).prepare(images, pinned) == "eager"
    assert list(tmp_path.iterdir()) == []


def test_eager_answers_until_the_engine_is_built_beside(eager: EagerEngine, tmp_path: Path) -> None:
    images, pinned = torch.rand(1, 3, 144, 192), eager.pin(*prompts())
    expected = eager(images, pinned)
    engine = compiled(eager, tmp_path, Planted())
    assert torch.equal(engine(images, pinned).boxes, expected.boxes)
    assert engine.prepare(images, pinned) == "planted"  # waits for the build that is going on
    torch.testing.assert_close(engine(images, pinned).boxes, expected.boxes)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"backend": "cuda"}, "There is no engine 'cuda'; there are auto, eager, "),
        ({"precision": "int4"}, "There is no precision 'int4'; there are auto, float32, float16."),
        ({"backend": "eager", "precision": "float16"}, "The eager engine runs in float32, not in float16."),
        ({"backend": "openvino", "precision": "float16"}, "OpenVINO runs in float32 here, not in float16."),
    ],
)
def test_an_engine_that_cannot_be_had_is_one_sentence(nano: XPose, wanted: dict[str, str], sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence.replace(".", r"\.")):
        build_engine(copy.deepcopy(nano), "cpu", **wanted)  # type: ignore[arg-type]


def test_without_any_backend_auto_is_eager(nano: XPose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine_module._PREFERRED, "cpu", ())
    assert isinstance(build_engine(copy.deepcopy(nano), "cpu"), EagerEngine)


def test_pinned_prompts_tell_their_tensors(eager: EagerEngine) -> None:
    instances, keypoints, mask = prompts(2, 3)
    assert len(PinnedPrompts(instances, keypoints, None).tensors) == 2
    assert len(PinnedPrompts(instances, keypoints, mask).tensors) == 3


def test_both_ways_to_sample_deformable_attention_agree_inside_and_outside_the_maps() -> None:
    torch.manual_seed(2)
    sizes = ((18, 24), (9, 12), (5, 6))
    value = torch.randn(2, sum(h * w for h, w in sizes), 4, 32, dtype=torch.float64)
    places = tuple(torch.rand(2, 2, 50, 4, 3, 4, dtype=torch.float64) * 1.6 - 0.3)
    weights = torch.rand(2, 50, 4, 3, 4, dtype=torch.float64)
    by_rows = sample_rows(value, sizes, places, weights)
    torch.testing.assert_close(by_rows, sample_maps(value, sizes, places, weights), atol=1e-10, rtol=0)


def test_of_many_shapes_the_last_used_are_kept_ready(eager: EagerEngine, tmp_path: Path) -> None:
    backend = Planted()
    engine, pinned = compiled(eager, tmp_path, backend), eager.pin(*prompts())
    shapes = [torch.rand(1, 3, 64, 64 + 8 * i) for i in range(20)]
    for images in shapes:
        engine.prepare(images, pinned)
        engine(shapes[0], pinned)
    assert len(engine._ready) == 16 and backend.built == 20
    engine.prepare(shapes[0], pinned)
    engine.prepare(shapes[-1], pinned)
    assert backend.built == 20
    constants = [module for module in eager.model.modules() if isinstance(module, SizeConstants)]
    for i in range(40):
        eager(torch.rand(1, 3, 64, 64 + 8 * i), pinned)
    assert constants and all(len(module._modules) <= 32 for module in constants)


def test_where_no_engine_can_be_kept_it_is_built_for_this_run_and_that_is_told(
    eager: EagerEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images, pinned = torch.rand(1, 3, 144, 192), eager.pin(*prompts())
    for nowhere in (False, True):
        monkeypatch.setattr(tempfile, "tempdir", "/proc/none" if nowhere else str(tmp_path))
        backend = Planted()
        assert compiled(eager, Path("/proc/none"), backend).prepare(images, pinned) == "planted"
        assert backend.built == 1 and "An engine cannot be kept in /proc/none" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_user_without_home_and_name_gets_both_before_a_compiler_asks(
    nano: XPose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    build_engine(copy.deepcopy(nano), "cpu", cache=EngineCache(tmp_path))
    assert os.environ["HOME"] == "/nonexistent" and getpass.getuser() == str(os.getuid())
