"""COCO keypoints: every frame is an image, every row an annotation with its track_id and score."""

from __future__ import annotations

import json
import shutil
from typing import IO, Any

import msgspec
import numpy as np
import pyarrow as pa

from xpose_stream.stream.recordings.export.job import Job, file_name
from xpose_stream.stream.recordings.recording import starts
from xpose_stream.stream.recordings.rows import boxes_of, points_of, status_of
from xpose_stream.trackers import KeypointStatus

_VISIBILITY = np.zeros(4, int)  # by KeypointStatus: 0 never seen, 1 not seen in this frame, 2 seen in it
_VISIBILITY[[KeypointStatus.PREDICTED, KeypointStatus.REJECTED]] = 1
_VISIBILITY[KeypointStatus.MEASURED] = 2


def write(job: Job) -> None:
    """Write the file; it holds first the images, then their annotations, which wait in a file of their own."""
    waiting = job.target.with_name(job.target.name + ".annotations")
    try:
        with open(job.target, "wb") as file, open(waiting, "w+b") as annotations:
            head: dict[str, Any] = {
                "info": {"description": job.recording.path.name, "made": job.provenance},
                "licenses": [],
            }
            head["categories"] = _categories(job)
            file.write(json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "images": [')
            images = told = 0
            for table in job.recording.blocks():
                images_before = images
                for image in _images(job, table, images):
                    _append(file, image, first=not images)
                    images += 1
                for annotation in _annotations(job, table, images_before, told):
                    _append(annotations, annotation, first=not told)
                    told += 1
                job.step(len(table))
            file.write(b'], "annotations": [')
            annotations.seek(0)
            shutil.copyfileobj(annotations, file)
            file.write(b"]}\n")
    finally:
        waiting.unlink(missing_ok=True)


def _append(file: IO[bytes], value: dict[str, Any], first: bool) -> None:
    file.write((b"" if first else b",\n") + msgspec.json.encode(value))


def _categories(job: Job) -> list[dict[str, Any]]:
    return [
        {
            "id": place + 1,
            "name": name,
            "supercategory": category.name,
            "keypoints": category.keypoints,
            "skeleton": [[a + 1, b + 1] for a, b in category.edges],
        }
        for place, (name, category) in enumerate(zip(job.category_names, job.recording.categories, strict=True))
    ]


def _images(job: Job, table: pa.Table, before: int) -> list[dict[str, Any]]:
    heads = table.take(starts(table))
    names = ["camera", "epoch", "frame", "width", "height", "pts", "captured_at", "clock"]
    seconds = job.survey.seconds(heads).tolist()
    return [
        {"id": before + place + 1, "file_name": f"{file_name(row['camera'])}/{row['frame']:08d}.jpg"}
        | row
        | {"seconds": seconds[place]}
        for place, row in enumerate(heads.select(names).to_pylist())
    ]


def _annotations(job: Job, table: pa.Table, before: int, told: int) -> list[dict[str, Any]]:
    images = before + np.searchsorted(starts(table), np.arange(len(table)), side="right")
    made: list[tuple[int, dict[str, Any]]] = []
    for kind, rows, part in job.by_category(table):
        count = len(job.recording.categories[kind].keypoints)
        seen = _VISIBILITY[status_of(part, count)]
        points = np.where(seen[..., None] > 0, points_of(part, "keypoint", count), 0.0)
        x0, y0, x1, y1 = boxes_of(part).T
        boxes = np.stack([x0, y0, x1 - x0, y1 - y0], 1)
        keypoints = np.concatenate([points, seen[..., None]], -1).reshape(len(rows), -1).tolist()
        scores, identities = part["score"].to_pylist(), part["track_id"].to_pylist()
        for place, row in enumerate(rows.tolist()):
            keypoints[place][2::3] = seen[place].tolist()
            annotation = {"image_id": int(images[row]), "category_id": kind + 1, "keypoints": keypoints[place]}
            annotation |= {"num_keypoints": int((seen[place] > 0).sum()), "bbox": boxes[place].tolist()}
            annotation |= {"area": float(boxes[place, 2] * boxes[place, 3]), "iscrowd": 0}
            made.append((row, annotation | {"score": scores[place], "track_id": identities[place]}))
    made.sort(key=lambda each: each[0])
    return [{"id": told + place + 1} | annotation for place, (_, annotation) in enumerate(made)]
