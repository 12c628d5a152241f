"""X-Pose and the ways to run it: model, prompts, checkpoints, engines."""

from engines.checkpoint import NANO, Checkpoint, CheckpointError, load, load_published, save
from engines.detect import detect
from engines.engine import EagerEngine, Engine, EngineError, PinnedPrompts, build_engine
from engines.prompts import PromptBank, PromptError, prompts_for

__all__ = [
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
    "detect",
    "load",
    "load_published",
    "prompts_for",
    "save",
]
