"""The weights that come with the program."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parents[1] / "configs" / "models"
NANO = MODELS / "xpose-nano.safetensors"
DEFAULT = MODELS / "xpose-eyes.safetensors"  # what runs where no weights are named
