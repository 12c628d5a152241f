"""Pose2Sim: OpenPose's JSON, a folder per camera and a file per frame, at a fixed rate, all cameras in step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from xpose_stream.stream.recordings.export.job import Job, file_name
from xpose_stream.stream.recordings.steady import Stretch, rate_of, steady, ticks_of
from xpose_stream.stream.sinks.messages import Category

_NOTHING: dict[str, Any] = {
    f"{part}_keypoints_{space}": []
    for space in ("2d", "3d")
    for part in ("pose", "face", "hand_left", "hand_right")
}  # fmt: skip


def write(job: Job) -> None:
    """Write CATEGORY/pose/CAMERA_json/CAMERA_000000.json and CATEGORY/skeleton.toml, for Pose2Sim's Config.toml.

    A frame's number is its tick since the recording's first frame, the same in all cameras if their rates are. The
    origin is the centre of the first pixel, as calibrations have it.
    """
    told, shifted = job.survey, set[tuple[str, int]]()
    folders: dict[tuple[int, str], Path] = {}
    for kind in sorted({track.category for track in told.tracks}):
        folder = job.target / file_name(job.category_names[kind])
        for number, camera in enumerate(told.cameras, 1):
            # Pose2Sim sorts folders by the last number in their names.
            folders[kind, camera.name] = folder / "pose" / f"{file_name(camera.name)}_cam{number:02}_json"
            folders[kind, camera.name].mkdir(parents=True)
        (folder / "skeleton.toml").write_text(_skeleton(job.recording.categories[kind], job.category_names[kind]))
    for rows, stretches in steady(job.recording, told):
        for stretch in stretches:
            shifted |= {(piece.track.camera, piece.track.id) for piece in stretch.pieces if not piece.exact}
            for (kind, name), folder in folders.items():
                if name == stretch.camera.name:
                    _write(folder, _people(stretch, kind))
        job.step(rows)
    end = max((ticks_of(camera)[1] for camera in told.cameras), default=-1)
    for (_, name), folder in folders.items():  # Pose2Sim counts files, so all cameras have all
        first, last = next(ticks_of(camera) for camera in told.cameras if camera.name == name)
        _write(folder, {tick: [] for tick in (*range(first), *range(last + 1, end + 1))})
    (job.target / "provenance.json").write_text(json.dumps(job.provenance, indent=1, ensure_ascii=False))
    if shifted:
        job.notes.append(f"{len(shifted)} tracks came at irregular times and were resampled by the smoother")
    rates = {rate_of(camera) for camera in told.cameras}
    if len(rates) > 1:
        job.notes.append(f"cameras have different rates ({', '.join(f'{r:g}' for r in sorted(rates))}/s): not in step")


def _people(stretch: Stretch, kind: int) -> dict[int, list[dict[str, Any]]]:
    """Who is there at each tick."""
    people: dict[int, list[dict[str, Any]]] = {tick: [] for tick in range(stretch.first, stretch.last + 1)}
    for piece in stretch.pieces:
        if piece.track.category == kind:
            unknown = np.isnan(piece.keypoints[..., :1])
            places = np.concatenate([piece.keypoints - 0.5, piece.scores[..., None]], -1)
            values = np.where(unknown, 0.0, places).astype("f4").astype(float).reshape(len(unknown), -1).tolist()
            for tick, numbers, present in zip(piece.ticks.tolist(), values, piece.present.tolist(), strict=True):
                if present:
                    people[tick].append({"person_id": [piece.track.id]} | _NOTHING | {"pose_keypoints_2d": numbers})
    return people


def _write(folder: Path, people: dict[int, list[dict[str, Any]]]) -> None:
    start = str(folder / folder.name.removesuffix("_json"))
    for tick, each in people.items():
        with open(f"{start}_{tick:06d}.json", "wb") as file:
            file.write(msgspec.json.encode({"version": 1.3, "people": each}))


def _skeleton(category: Category, name: str) -> str:
    """The tree of its keypoints that Pose2Sim wants: from one whose way to the others is shortest, along the edges."""
    lines = [f"# pose_model = 'CUSTOM' in Pose2Sim's Config.toml, and this below it: {name}"]
    parents = _parents(category)
    paths: dict[int, str] = {}
    for place, parent in parents.items():
        path = "pose.CUSTOM" if parent is None else f"{paths[parent]}.children"
        header = f"[{path}]" if parent is None else f"[[{path}]]"
        paths[place] = path
        lines += [header, f"name = {json.dumps(category.keypoints[place], ensure_ascii=False)}", f"id = {place}", ""]
    return "\n".join(lines)


def _parents(category: Category) -> dict[int, int | None]:
    """Keypoints after their parents; those that no edge leads to hang on the first."""
    near: dict[int, set[int]] = {place: set() for place in range(len(category.keypoints))}
    for a, b in category.edges:
        near[a].add(b)
        near[b].add(a)
    parents: dict[int, int | None] = {0: None}
    for start in near:
        queue = [start] if start in parents else []
        if start not in parents:
            parents[start], queue = 0, [start]
        while queue:
            place = queue.pop()
            for other in sorted(near[place] - set(parents)):
                parents[other] = place
                queue.append(other)
    return parents
