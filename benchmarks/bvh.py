"""Reads motion capture in the BVH format into the keypoints of a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.float64]

# COCO's keypoints below the head, in order, and how the joints at which they lie are called (CMU, Mixamo, Daz).
JOINTS = {
    "shoulder": ("arm", "shldr", "upperarm"),
    "elbow": ("forearm", "lowerarm"),
    "wrist": ("hand",),
    "hip": ("upleg", "thigh"),
    "knee": ("leg", "shin", "calf"),
    "ankle": ("foot",),
}
# Nose, eyes and ears in the head: forward, left and up, in lengths of the head (neck to crown).
FACE = np.array([[0.55, 0, 0.35], [0.48, 0.16, 0.5], [0.48, -0.16, 0.5], [0.1, 0.33, 0.42], [0.1, -0.33, 0.42]])


def read_person(path: str | Path, height: float = 1.75) -> tuple[float, Floats]:
    """Seconds per frame and COCO's 17 keypoints [F, 17, 3] in m: x, y on the ground, z up, of a person `height` m tall.

    Raises ValueError when the file is no BVH motion or its joints do not have the usual names.
    """
    step, names, joints = _read(Path(path))
    low = [name.lower().split(":")[-1] for name in names]
    sides: dict[tuple[str, str], int] = {}
    for part, words in JOINTS.items():
        for side, marks in (("left", ("left", "l")), ("right", ("right", "r"))):
            found = [low.index(mark + word) for mark in marks for word in words if mark + word in low]
            if not found:
                raise ValueError(f"{path}: no joint is called like a {side} {part} (it has {', '.join(names)}).")
            sides[part, side] = found[0]
    if "head" not in low:
        raise ValueError(f"{path}: no joint is called Head.")
    head = joints[:, low.index("head")]
    crown = joints[:, low.index("head") + 1]  # the next row is its end
    left = joints[:, sides["shoulder", "left"]] - joints[:, sides["shoulder", "right"]]
    up = crown - head
    length = np.linalg.norm(up, axis=1, keepdims=True)
    up, left = up / length, left / np.linalg.norm(left, axis=1, keepdims=True)
    forward = np.cross(left, up)
    axes = np.stack([forward, np.cross(up, forward), up], 1)
    face = head[:, None] + length[:, None] * np.einsum("ka,fad->fkd", FACE, axes)
    body = [joints[:, sides[part, side]] for part in JOINTS for side in ("left", "right")]
    points = np.concatenate([face, np.stack(body, 1)], 1)
    floor = points[..., 1].min()
    points = points[..., [0, 2, 1]] * [1, -1, 1] - [0, 0, floor]  # BVH has y up
    return step, points * height / np.median(crown[:, 1] - floor)


def _read(path: Path) -> tuple[float, list[str], Floats]:
    """Seconds per frame, joint names (ends of chains included) and their places [F, J, 3] in the file's own units."""
    words = path.read_text(errors="replace").split()
    if "MOTION" not in words or words[:1] != ["HIERARCHY"]:
        raise ValueError(f"{path} is not a BVH file.")
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    chain: list[int] = []
    at = 1
    while words[at] != "MOTION":
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            names.append(words[at + 1] if word != "End" else f"{names[chain[-1]]} end")
            parents.append(chain[-1] if chain else -1)
            offsets.append([0.0] * 3)
            channels.append([])
            at += 2
        elif word == "{":
            chain.append(len(names) - 1)
            at += 1
        elif word == "}":
            chain.pop()
            at += 1
        elif word == "OFFSET":
            offsets[-1] = [float(w) for w in words[at + 1 : at + 4]]
            at += 4
        elif word == "CHANNELS":
            count = int(words[at + 1])
            channels[-1] = words[at + 2 : at + 2 + count]
            at += 2 + count
        else:
            raise ValueError(f"{path}: {word!r} is not expected in a BVH hierarchy.")
    frames, step = int(words[at + 2]), float(words[at + 5])
    values = np.array(words[at + 6 :], float)
    width = sum(map(len, channels))
    if values.size != frames * width:
        raise ValueError(f"{path} promises {frames} frames of {width} numbers but has {values.size} numbers.")
    return step, names, _places(values.reshape(frames, width), parents, np.array(offsets), channels)


def _places(values: Floats, parents: list[int], offsets: Floats, channels: list[list[str]]) -> Floats:
    places, column = np.zeros((len(values), len(parents), 3)), 0
    turns: list[Rotation] = []
    for joint, parent in enumerate(parents):
        here = {name: values[:, column + i] for i, name in enumerate(channels[joint])}
        column += len(here)
        shift = np.tile(offsets[joint], (len(values), 1))
        for axis, name in enumerate(("Xposition", "Yposition", "Zposition")):
            if name in here:
                shift[:, axis] = here[name]
        order = "".join(name[0] for name in channels[joint] if name.endswith("rotation"))
        turn = Rotation.identity(len(values))
        if order:
            turn = Rotation.from_euler(order, np.stack([here[f"{a}rotation"] for a in order], 1), degrees=True)
        places[:, joint] = shift if parent < 0 else places[:, parent] + turns[parent].apply(shift)
        turns.append(turn if parent < 0 else turns[parent] * turn)
    return places
