"""Random draws of one split: what is held out never appears in training."""

from __future__ import annotations

from typing import Literal

import numpy as np

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
BANDS = 12


class Draw:
    """A random stream that belongs to one split.

    Two things keep the splits apart. The streams differ: the split is part of the seed. And every body proportion, hue
    and parameter of a motion comes from `held`: its range is cut into 12 equal bands, of which training draws from the
    even ones and test from the odd ones. Texture families are different altogether (`texture.py`).
    """

    def __init__(self, split: Split, *seed: int) -> None:
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}; it must be one of {SPLITS}")
        self.split: Split = split
        self.rng = np.random.default_rng([SPLITS.index(split), *seed])

    def held(self, low: float, high: float) -> float:
        """A number of [low, high) from this split's bands."""
        band = 2 * self.rng.integers(BANDS // 2) + SPLITS.index(self.split)
        return low + (high - low) * float(band + self.rng.random()) / BANDS

    def uniform(self, low: float, high: float) -> float:
        """A number of [low, high), the same range for both splits."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def pick(self, weights: dict[str, float]) -> str:
        """One of the names, by weight."""
        p = np.array(list(weights.values()))
        return str(self.rng.choice(list(weights), p=p / p.sum()))
