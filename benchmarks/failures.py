"""What fails, as a picture: the persons of which least is found, as people labelled them and as the weights see them.

    python -m benchmarks.failures --data data/real/coco80 --out docs/failures.png [--photographs]

Labels are white, what is found is green, and a number says how alike they are (COCO's similarity). Without
`--photographs` the lines alone are drawn, since most data sets may not be shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.real import LARGE, Eyes, likeness, read
from xpose_stream.engines import DEFAULT, load
from xpose_stream.engines.prompts.bank import embed_prompts
from xpose_stream.engines.prompts.prompt import Prompt, find_skeletons
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.training.teachers.people import Person, Pixels

SIDE = 220  # px of a tile
COLUMNS = 7
WHITE, GREEN = (255, 255, 255), (90, 220, 120)
DIM = 0.45  # of a photograph behind the lines


def worst(eyes: Eyes, folder: Path) -> list[tuple[float, Path, dict[str, Any], Person | None]]:
    """Similarity, picture, label and best answer of every large person, the worst first."""
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    found = []
    for image in content["images"]:
        path = folder / image["file_name"]
        rgb = read(path)
        people = eyes(rgb)
        for one in content["annotations"]:
            large = one["area"] > LARGE * rgb.shape[0] * rgb.shape[1]
            if one["image_id"] == image["id"] and large and one["num_keypoints"] >= 5 and not one["iscrowd"]:
                truth = np.array(one["keypoints"], np.float64).reshape(-1, 3)
                alike = [likeness(truth, one["area"], person.points) for person in people]
                best = people[int(np.argmax(alike))] if alike else None
                found.append((max(alike, default=0.0), path, one, best))
    return sorted(found, key=lambda each: each[0])


def tile(
    skeleton: Skeleton, one: tuple[float, Path, dict[str, Any], Person | None], photographs: bool
) -> NDArray[np.uint8]:
    """A person with its label and what was found, blue first."""
    alike, path, label, person = one
    rgb = read(path)
    box = np.array(label["bbox"], np.float64)
    side = 1.3 * box[2:].max()
    low = box[:2] + box[2:] / 2 - side / 2
    matrix = np.array(((SIDE / side, 0, -low[0] * SIDE / side), (0, SIDE / side, -low[1] * SIDE / side)))
    view: Pixels = cv2.warpAffine(rgb[..., ::-1], matrix, (SIDE, SIDE), flags=cv2.INTER_AREA)
    view = (view * DIM).astype(np.uint8) if photographs else np.full_like(view, 40)
    truth = np.array(label["keypoints"], np.float64).reshape(-1, 3)
    draw(view, skeleton, (truth[:, :2] - low) * SIDE / side, truth[:, 2] > 0, WHITE)
    if person is not None:
        draw(view, skeleton, (person.points[:, :2] - low) * SIDE / side, truth[:, 2] > -1, GREEN)
    cv2.putText(view, f"{alike:.2f}" if alike else "not found", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, WHITE, 1)
    return np.asarray(view, np.uint8)


def draw(
    view: Pixels, skeleton: Skeleton, points: NDArray[np.float64], seen: NDArray[np.bool_], colour: tuple[int, ...]
) -> None:
    """Edges between the keypoints that are seen, and these."""
    places = points.clip(-SIDE, 2 * SIDE).round().astype(int)
    for a, b in skeleton.edges:
        if seen[a] and seen[b]:
            cv2.line(view, places[a].tolist(), places[b].tolist(), colour, 1, cv2.LINE_AA)
    for place in places[seen]:
        cv2.circle(view, place.tolist(), 2, colour, -1, cv2.LINE_AA)


def main(
    data: Annotated[Path, typer.Option(help="Folder of photographs with annotations.json.")],
    out: Annotated[Path, typer.Option(help="The picture.")],
    weights: Path = DEFAULT,
    photographs: bool = False,
    count: Annotated[int, typer.Option(help="How many persons.")] = 14,
) -> None:
    """Draw the worst."""
    torch.set_num_threads(1)
    checkpoint = load(weights)
    (skeleton,) = find_skeletons(["person"])
    tiles = [
        tile(skeleton, one, photographs)
        for one in worst(Eyes(checkpoint, embed_prompts([Prompt(skeleton)], checkpoint)), data)[:count]
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    cv2.imwrite(str(out), np.vstack(rows))


if __name__ == "__main__":
    typer.run(main)
