"""X-Pose and the ways to run it: model, prompts, checkpoints, engines."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpose_stream.engines.checkpoint import Checkpoint, CheckpointError, load, load_published, save
    from xpose_stream.engines.engine import EagerEngine, Engine, EngineError, PinnedPrompts, build_engine
    from xpose_stream.engines.prompts.bank import PromptBank, prompts_for
    from xpose_stream.engines.shipped import DEFAULT, NANO
    from xpose_stream.engines.xpose.text import PromptError

__all__ = [
    "DEFAULT",
    "NANO",
    "Checkpoint",
    "CheckpointError",
    "EagerEngine",
    "Engine",
    "EngineError",
    "PinnedPrompts",
    "PromptBank",
    "PromptError",
    "build_engine",
    "load",
    "load_published",
    "prompts_for",
    "save",
]
_ROOMS = ("shipped", "checkpoint", "engine", "prompts.bank", "xpose.text")


def __getattr__(name: str) -> Any:
    """One of the names above, when it is asked for: torch takes seconds, which a wrong command line need not wait."""
    if name in __all__:
        for room in _ROOMS:
            found = getattr(import_module(f"{__name__}.{room}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__} has no attribute {name}")
