"""Ways to run X-Pose. Every engine answers what eager answers; they differ in speed and in what they need."""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Hashable, Sequence
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from xpose_stream.engines.apart import Abandoned, build_apart
from xpose_stream.engines.backends import Answer, Backend, Precision, Run, backends
from xpose_stream.engines.cache import EngineCache, unkept
from xpose_stream.engines.parity import check_parity, check_rows
from xpose_stream.engines.tensorfile import fingerprint
from xpose_stream.engines.xpose import XPose, XPoseConfig, XPoseOutput
from xpose_stream.error import UserError

log = logging.getLogger(__name__)

PACKAGES = ("torch", "openvino", "torch-tensorrt", "tensorrt", "triton", "xpose-stream")
_SHAPES = 16  # of inputs for which an engine is kept; each takes some tens of MB
_WAITING = 4  # shapes for which engines may be wanted at once; more wait until they come again
_PREFERRED = {"cuda": ("tensorrt", "inductor"), "cpu": ("openvino",)}  # inductor on a CPU: slower, builds for a minute


class EngineError(UserError):
    """An engine that cannot be had; the message is one sentence."""


class PinnedPrompts(NamedTuple):
    """Prompt embeddings that stay on the engine's device until the user changes the prompt."""

    instances: Tensor  # [C, P]
    keypoints: Tensor  # [C, K, P]
    keypoint_mask: Tensor | None  # [C, K] True where a class has a keypoint; None when every class has all K

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Those there are, in the order of `XPose.forward`."""
        return tuple(tensor for tensor in self if tensor is not None)


class Engine(Protocol):
    """Runs the model on one device. patience: s that `prepare` may take beside a stream, about."""

    device: torch.device
    config: XPoseConfig
    patience: float

    def pin(self, instances: Tensor, keypoints: Tensor, keypoint_mask: Tensor) -> PinnedPrompts:
        """Put prompt embeddings [C, P], [C, K, P] and their mask [C, K] where the engine needs them."""

    def prepare(self, images: Tensor, prompts: PinnedPrompts, beside: bool = False) -> str:
        """Make ready for inputs of these shapes, which may take minutes; the name of what will run them.

        beside: a stream goes on meanwhile, and is to notice nothing of it.
        """

    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        """Detect in `images` [B, 3, H, W], normalised, on the engine's device."""


def build_engine(
    model: XPose,
    device: str | torch.device | None = None,
    backend: str = "auto",
    precision: str = "auto",
    cache: EngineCache | None = None,
) -> Engine:
    """An engine for `model` on `device` (None: the GPU when there is one, else the CPU). It takes the model over.

    `backend` is eager, openvino, inductor or tensorrt; "auto" takes the fastest that is installed. `precision` is
    float32 or float16; "auto" is float16 on a GPU. Raises EngineError when what was asked for by name cannot run here.
    """
    _name_a_home()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if precision not in ("auto", "float32", "float16"):
        raise EngineError(f"There is no precision '{precision}'; there are auto, float32, float16.")
    if precision == "auto":
        precision = "float32" if device.type == "cpu" or backend == "eager" else "float16"
    found = backends()
    if backend not in ("auto", "eager", *found):
        raise EngineError(f"There is no engine '{backend}'; there are auto, eager, {', '.join(found)}.")
    eager = EagerEngine(model, device)
    if backend == "eager":
        if precision != "float32":
            raise EngineError(f"The eager engine runs in float32, not in {precision}.")
        return eager
    names = _PREFERRED.get(device.type, ()) if backend == "auto" else (backend,)
    reasons = {name: found[name].unavailable(device, precision) for name in names if name in found}
    if reason := reasons.get(backend):
        raise EngineError(reason)
    for name, why in reasons.items():
        if why:
            log.warning("The engine %s is passed over: %s", name, why)
    able = [found[name] for name, why in reasons.items() if why is None]
    return CompiledEngine(eager, able, precision, cache or EngineCache()) if able else eager


def _name_a_home() -> None:
    """Name a home folder and a user where the system knows neither, as in a container: compilers do not start else."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"  # as Debian's nobody has it
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = str(os.getuid())


class EagerEngine:
    """PyTorch as it is, float32: the reference for every other engine. It takes the model over."""

    patience = 1.0

    def __init__(self, model: XPose, device: torch.device) -> None:
        self.device = device
        self.config = model.config
        folded: nn.Module = fold_batch_norms(model.eval()).to(device)
        self.model = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it

    def pin(self, instances: Tensor, keypoints: Tensor, keypoint_mask: Tensor) -> PinnedPrompts:
        """Put prompt embeddings on the device; see Engine."""
        mask = None if bool(keypoint_mask.all()) else keypoint_mask.to(self.device)
        return PinnedPrompts(instances.to(self.device), keypoints.to(self.device), mask)

    def prepare(self, images: Tensor, prompts: PinnedPrompts, beside: bool = False) -> str:
        """Nothing to do; see Engine."""
        return "eager"

    @torch.inference_mode()
    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        """Detect; see Engine."""
        return self.model(images, *prompts)


class CompiledEngine:
    """Compiles for the shapes it meets, once; until that is done, eager answers.

    A compiled engine is taken when it answers what eager answers on the images it was made for, else the next of `able`
    is tried and the reason logged. Compiling runs beside the stream unless `prepare` waits for it. Of the shapes that
    it has met the `_SHAPES` used last are kept ready. Compiled engines belong to one thread; another one may call
    `eager`.

    patience  s that the next build beside a stream may take, about.
    """

    patience = 20.0

    def __init__(self, eager: EagerEngine, able: Sequence[Backend], precision: Precision, cache: EngineCache) -> None:
        self.device, self.config, self.pin = eager.device, eager.config, eager.pin
        self.eager, self._able, self._precision, self._cache = eager, able, precision, cache
        self._ready: dict[Hashable, tuple[str, Run]] = {}  # that used last at the end
        self._shelf = threading.Lock()  # of it
        self._asked: set[Hashable] = set()
        self._one_build = threading.Lock()

    @torch.inference_mode()
    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        """Detect; see Engine."""
        shapes = _shapes(images, prompts)
        if ready := self._take(shapes):
            return XPoseOutput(*ready[1](images, *prompts.tensors))
        if shapes not in self._asked and len(self._asked) < _WAITING:
            self._asked.add(shapes)
            given = images.clone(), prompts, True
            # No daemon: an interpreter that ends within a compiler's thread aborts.
            threading.Thread(target=self.prepare, args=given, name="engine build").start()
        return self.eager(images, prompts)

    def prepare(self, images: Tensor, prompts: PinnedPrompts, beside: bool = False) -> str:
        """Build or load the engine for these shapes, and admit it; see Engine."""
        shapes = _shapes(images, prompts)
        self._asked.add(shapes)
        with self._one_build:
            ready = self._take(shapes) or self._first_admitted(images, prompts, beside)
            with self._shelf:
                self._ready[shapes] = ready
                if len(self._ready) > _SHAPES:
                    del self._ready[next(iter(self._ready))]
            self._asked.discard(shapes)
        return ready[0]

    def _take(self, shapes: Hashable) -> tuple[str, Run] | None:
        with self._shelf:
            if ready := self._ready.pop(shapes, None):
                self._ready[shapes] = ready
            return ready

    def _first_admitted(self, images: Tensor, prompts: PinnedPrompts, beside: bool) -> tuple[str, Run]:
        for backend in self._able:
            try:
                return backend.name, self._admit(self._load(backend, images, prompts, beside), images, prompts)
            except Abandoned:
                break
            except Exception as error:  # compilers fail in many ways; none of them may stop a stream
                reason = str(error).strip().splitlines()
                log.warning("The engine %s is passed over: %s", backend.name, reason[0] if reason else repr(error))
        return "eager", _Plain(self.eager.model).eval()

    def _load(self, backend: Backend, images: Tensor, prompts: PinnedPrompts, beside: bool) -> Run:
        inputs = (images.clone(), *prompts.tensors)  # of inference mode they would be otherwise
        key = self._key(backend.name, inputs)
        log.info("engine %s for %s: building or loading", backend.name, key["shapes"])

        def build(path: Path) -> None:
            plain, begun = _Plain(self.eager.model).eval(), time.monotonic()
            if beside and self.device.type == "cpu" and sys.executable and backend.name in backends():
                build_apart(backend.name, plain, inputs, self._precision, path)
                self.patience = time.monotonic() - begun
            else:
                backend.build(plain, inputs, self._precision, path)

        try:
            return backend.load(self._cache.get(key, build), inputs)
        except OSError as error:
            where = self._cache.folder or "the cache"
            log.warning(
                "An engine cannot be kept in %s (%s) and is built at each start; XPOSE_CACHE names another folder",
                where,
                error.strerror or error,
            )
        with unkept("engine.pt2") as path:
            build(path)
            return backend.load(path, inputs)

    def _admit(self, run: Run, images: Tensor, prompts: PinnedPrompts) -> Run:
        """Return `run` if it answers what eager answers, and equally for equal images; raises ParityError if not."""
        size = images.shape[-1], images.shape[-2]
        with torch.inference_mode():
            found = XPoseOutput(*run(images, *prompts.tensors))
            error = check_parity(self.eager(images, prompts), found, size, self._precision)
            if len(images) > 1:
                equal = images[:1].expand_as(images).contiguous()
                check_rows(XPoseOutput(*run(equal, *prompts.tensors)), size, self._precision)
        log.info("engine admitted: %.2g px from eager", error)
        return run

    def _key(self, backend: str, inputs: tuple[Tensor, ...]) -> dict[str, str]:
        return {
            "backend": backend,
            "shapes": " ".join("x".join(map(str, tensor.shape)) for tensor in inputs),
            "precision": self._precision,
            "weights": self._weights,
            "code": _code(),
            "config": str(self.config),
            "device": _device_name(self.device),
            "versions": _versions(),
        }

    @cached_property
    def _weights(self) -> str:
        return fingerprint(self.eager.model.state_dict())


class _Plain(nn.Module):
    """The model with a plain tuple as its answer, which is what compilers take."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, *prompts: Tensor) -> Answer:
        """As `XPose.forward`, without what the model does not give."""
        answer: XPoseOutput = self.model(images, *prompts)
        return answer.parts


def _shapes(images: Tensor, prompts: PinnedPrompts) -> Hashable:
    return tuple(tensor.shape for tensor in (images, *prompts.tensors))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


@cache
def _code() -> str:
    """A hash of the source of model and backends, which changes under one version where a checkout is pulled."""
    files = sorted(file for room in ("xpose", "backends") for file in (Path(__file__).parent / room).glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def fold_batch_norms(model: XPose) -> XPose:
    """Merge every batch norm into the convolution before it; exact up to rounding once the model is in eval mode."""
    for block in model.modules():
        if isinstance(block, nn.Sequential) and len(block) == 2:
            convolution, norm = block
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[0], block[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return model
