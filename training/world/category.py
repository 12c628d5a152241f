"""The categories of the world. Each has a skeleton of the same name in `configs/skeletons/`."""

from __future__ import annotations

TRAINED = ("person", "quadruped", "robot arm", "hand", "chair", "table", "mug", "drone", "rope", "aeroplane")
# kept for the test of prompts by example: in no picture that a model is trained on
UNSEEN = ("car", "bicycle", "bird", "desk lamp")
CATEGORIES = TRAINED + UNSEEN
