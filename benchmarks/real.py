"""What weights find in real photographs, beside MoveNet on the same pictures.

    python benchmarks/real.py --weights W --data data/real --models MODELS      # of people, against human labels
    python benchmarks/real.py --weights W --data data/real --things --reach --matches

`--data` holds the unpacked folders coco80, reach and things, and openfield with the labels that
`benchmarks/deeplabcut.py` makes; `--models` MoveNet's graphs, without which MoveNet is left out. Persons of more than
3 % of the picture with five keypoints or more count, as COCO's similarity of the best match.
Confidence is judged on those of them that are found: keypoints that people have not labelled count as not to be seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from xpose_stream.engines.checkpoint import Checkpoint, load
from xpose_stream.engines.detect import detect
from xpose_stream.engines.prompts.bank import PromptBank, embed_prompts
from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.prompts.prompt import Prompt, find_skeletons
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.resize import target_size
from xpose_stream.trackers import TrackerConfig
from xpose_stream.training.exam.confidence import auroc
from xpose_stream.training.teachers.people import SIGMAS, Person, Pixels, Runner, decode, letterbox

SHOWN = 0.3  # score of a detection
LARGE = 0.03  # of the picture
MOVENET_SHOWN = 0.1
STRANGE = 25  # pictures of people and as many of things, in which no animal of the videos is
Find = Callable[[Pixels], list[Person]]


@dataclass(frozen=True, slots=True)
class Eyes:
    """Weights with a prompt."""

    checkpoint: Checkpoint
    bank: PromptBank
    shown: float = SHOWN
    size: tuple[int, int] | None = None

    @torch.inference_mode()
    def __call__(self, rgb: Pixels) -> list[Person]:
        """What is found, best first."""
        config, bank = self.checkpoint.model.config, self.bank
        height, width = rgb.shape[:2]
        size = target_size(width, height, *(self.size or (config.short_side, config.long_side)))
        small: Any = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        image = torch.from_numpy(normalised(small))[None]
        mask = None if bool(bank.keypoint_mask.all()) else bank.keypoint_mask
        output = self.checkpoint.model.eval()(image, bank.instances, bank.keypoints, mask)
        real, limit = bank.keypoint_mask.numpy(), self.shown
        (found,) = detect(output, real, width, height, threshold=limit, overlap=config.overlap, hold=config.sees)
        assert found.keypoint_sigmas is not None
        points = np.dstack((found.keypoints, found.keypoint_scores, found.keypoint_sigmas))
        parts = zip(found.scores, found.boxes, points, strict=True)
        return [Person(float(score), box, own) for score, box, own in parts]


def movenet(folder: Path, size: tuple[int, int] = (192, 256)) -> Find:
    """MoveNet MultiPose at (height, width)."""
    run = Runner(folder / "movenet-multipose.json")

    def find(rgb: Pixels) -> list[Person]:
        seen, scale = letterbox(rgb, size)
        found = decode(run(seen[None])[0], least=MOVENET_SHOWN)
        return [Person(p.score, p.box / scale, p.points / (scale, scale, 1)) for p in found]

    return find


def read(path: Path) -> Pixels:
    """A picture."""
    bgr: Any = cv2.imread(str(path))
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def people(find: Find, folder: Path) -> dict[str, float]:
    """Mean best similarity and share found of large persons; share of detections that are on a person."""
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    best: list[float] = []
    sure: list[NDArray[np.float64]] = []
    right: list[bool] = []
    for image in content["images"]:
        own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        rgb = read(folder / image["file_name"])
        found = find(rgb)
        area = rgb.shape[0] * rgb.shape[1]
        for one in own:
            if one["num_keypoints"] >= 5 and not one["iscrowd"] and one["area"] > LARGE * area:
                points = np.array(one["keypoints"], np.float64).reshape(-1, 3)
                alike = [likeness(points, one["area"], p.points) for p in found]
                best.append(max(alike, default=0.0))
                if best[-1] > 0.5:
                    sure.append(confidence(points, found[int(np.argmax(alike))].points))
        boxes = [np.array(a["bbox"]) for a in own]
        for person in found:
            on = max([overlap(person.box, np.concatenate((b[:2], b[:2] + b[2:]))) for b in boxes], default=0.0)
            crowd = any(a["iscrowd"] and inside(person.box, np.array(a["bbox"])) > 0.5 for a in own)
            if not crowd:
                right.append(on >= 0.5)
    values = np.array(best)
    return {
        "persons": len(values),
        "OKS": float(values.mean()),
        "found": float((values > 0.5).mean()),
        "found .75": float((values > 0.75).mean()),
        "precision": float(np.mean(right)) if right else 0.0,
        "detections": len(right),
        **measured(np.concatenate(sure)),
    }


def confidence(truth: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K, 3] of each keypoint: whether it is visible, its score, and its error in sigmas, NaN where that is unknown."""
    error = np.where(truth[:, 2] > 0, np.hypot(*(given[:, :2] - truth[:, :2]).T), np.nan)
    sigma = given[:, 3] if given.shape[1] > 3 else np.nan
    return np.column_stack((truth[:, 2] == 2, given[:, 2], error / sigma))


def measured(keypoints: NDArray[np.float64]) -> dict[str, float]:
    """AUROC of scores for visible ones, and the shares of errors within one and two sigmas where there are any."""
    errors = keypoints[np.isfinite(keypoints[:, 2]), 2]
    within = {f"within {n} sigma": float((errors <= n).mean()) for n in (1, 2) if len(errors)}
    return {"AUROC": auroc(keypoints[:, 1], keypoints[:, 0] > 0)} | within


def likeness(truth: NDArray[np.float64], area: float, points: NDArray[np.float64]) -> float:
    """COCO's similarity."""
    seen = truth[:, 2] > 0
    away = ((truth[:, :2] - points[:, :2]) ** 2).sum(1) / (2 * SIGMAS) ** 2 / (area + 1e-9) / 2
    return float(np.exp(-away[seen]).mean())


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """IoU of two boxes."""
    shared = float((np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod())
    return shared / max(float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared, 1e-9)


def inside(box: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Share of a box in another one (x, y, width, height)."""
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[:2] + other[2:])
    return float((high - low).clip(0).prod() / max((box[2:] - box[:2]).prod(), 1e-9))


def things(find: Find, folder: Path) -> dict[str, float]:
    """False persons a picture, on pictures of things that show none by their names, and on those of dogs alone."""
    counts: dict[str, list[int]] = {"things": [], "dogs": []}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in (".jpg", ".jpeg") and not shows_people(file.name):
            rgb = read(file)
            counts["dogs" if is_dog(file.name) else "things"].append(len(find(rgb)))
    return {f"persons on {name}": float(np.mean(own)) for name, own in counts.items() if own}


def is_dog(name: str) -> bool:
    """Whether a file of ImageNet's shows a dog: its synsets n02085620 to n02113978."""
    return 2085620 <= int(name[1:9]) <= 2113978


def shows_people(name: str) -> bool:
    """Whether a person stands beside the thing: looked at by eye, see `PEOPLE`."""
    return name[:9] in PEOPLE


# Of the pictures in which anything was found, those with persons, parts of them, or what is made to look like one.
PEOPLE = frozenset((Path(__file__).parent / "people.txt").read_text(encoding="utf-8").split())


def reach(
    checkpoint: Checkpoint, folder: Path, shots: int = 1, frames: int = 30, strange: Sequence[Path] = ()
) -> dict[str, float]:
    """PCK of one example (mean of three), or of several, in other frames of the same video: best detection.

    From the score on with which a track begins: how often a second one is seen, and one in `strange` pictures.
    """
    begins = TrackerConfig(**checkpoint.tracker).high_score
    second: list[bool] = []
    strangers: list[bool] = []
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    truth = {a["image_id"]: a for a in content["annotations"]}
    names = content["categories"][0]["keypoints"]
    images = [image for image in content["images"] if image["id"] in truth]
    most = max(truth[image["id"]]["num_keypoints"] for image in images)
    full = [image for image in images if truth[image["id"]]["num_keypoints"] == most]
    rng = np.random.default_rng(0)
    shown = [full[i] for i in rng.choice(len(full), max(3, shots), replace=False)]
    asked = [image for image in images if image not in shown]
    asked = [asked[i] for i in rng.choice(len(asked), min(frames, len(asked)), replace=False)]
    groups = [shown] if shots > 1 else [[one] for one in shown]
    hits: dict[float, list[bool]] = {0.05: [], 0.1: [], 0.2: []}
    found_any: list[bool] = []
    for group in groups:
        examples = tuple(_example(folder, image, truth[image["id"]]) for image in group)
        skeleton = Skeleton("animal", tuple(names), (), (), (0.05,) * len(names))
        bank = embed_prompts([Prompt(skeleton, words=False, examples=examples)], checkpoint)
        eyes = Eyes(checkpoint, bank)
        for image in asked:
            rgb = read(folder / image["file_name"])
            found = eyes(rgb)
            found_any.append(bool(found))
            second.append(sum(one.score >= begins for one in found) > 1)
            points = np.array(truth[image["id"]]["keypoints"]).reshape(-1, 3)
            side = max(truth[image["id"]]["bbox"][2:])
            known = (points[:, 2] > 0) & np.any([np.isfinite(e.keypoints[:, 0]) for e in examples], axis=0)
            away = np.full(known.sum(), np.inf)
            if found:
                away = np.hypot(*(found[0].points[:, :2] - points[:, :2])[known].T)
            for limit, own in hits.items():
                own.extend((away < limit * side).tolist())
        strangers.extend(any(one.score >= begins for one in eyes(read(file))) for file in strange)
    shares = {"found": found_any, "second": second, "in strange pictures": strangers}
    return {f"PCK@{t}": float(np.mean(own)) for t, own in hits.items()} | {
        name: float(np.mean(own)) for name, own in shares.items() if own
    }


def matches(checkpoint: Checkpoint, folder: Path, count: int = 20, views: int = 3) -> dict[str, float]:
    """PCK of one example of things cut from photographs, in views of them warped and pasted onto other photographs."""
    rng = np.random.default_rng(0)
    files = [f for f in sorted(folder.glob("*.jpg")) + sorted(folder.glob("*.JPEG")) if not shows_people(f.name)]
    chosen = [files[i] for i in rng.choice(len(files), 2 * count, replace=False)]
    hits: dict[float, list[bool]] = {0.05: [], 0.1: [], 0.2: []}
    for file, behind in zip(chosen[:count], chosen[count:], strict=True):
        rgb, ground = (np.array(cv2.resize(read(f), (320, 240)), np.uint8) for f in (file, behind))
        mask = np.zeros((240, 320), np.uint8)
        cv2.ellipse(mask, (160, 120), (90, 90), 0, 0, 360, 255, -1)
        corners: Any = cv2.goodFeaturesToTrack(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 6, 0.01, 25, mask=mask)
        points = corners[:, 0].astype(np.float64)
        names = tuple(f"point {i + 1}" for i in range(len(points)))
        example = Example(rgb, np.array((70.0, 30.0, 250.0, 210.0)), points)
        skeleton = Skeleton("thing", names, (), (), (0.05,) * len(names))
        eyes = Eyes(checkpoint, embed_prompts([Prompt(skeleton, words=False, examples=(example,))], checkpoint))
        for _ in range(views):
            square = np.array(((70, 30), (250, 30), (250, 210), (70, 210)), np.float64)
            turn = np.deg2rad(rng.uniform(-20, 20))
            matrix = rng.uniform(0.7, 1.2) * np.array(((np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))))
            aside = np.array((160, 120)) + rng.uniform(-25, 25, 2) + rng.uniform(-12, 12, (4, 2))
            moved = (square - (160, 120)) @ matrix.T + aside
            warp = cv2.getPerspectiveTransform(square.astype(np.float32), moved.astype(np.float32))
            cover = cv2.warpPerspective(mask, warp, (320, 240))[..., None] / 255
            seen: Any = cv2.warpPerspective(rgb, warp, (320, 240)) * rng.uniform(0.75, 1.2, 3)
            scene = (ground * (1 - cover) + seen.clip(0, 255) * cover).astype(np.uint8)
            truth = cv2.perspectiveTransform(points[:, None], warp)[:, 0]
            found = eyes(scene)
            away = np.hypot(*(found[0].points[:, :2] - truth).T) if found else np.full(len(truth), np.inf)
            side = float((moved.max(0) - moved.min(0)).max())
            for limit, own in hits.items():
                own.extend((away < limit * side).tolist())
    return {f"PCK@{t}": float(np.mean(own)) for t, own in hits.items()}


def _example(folder: Path, image: dict[str, Any], truth: dict[str, Any]) -> Example:
    rgb = read(folder / image["file_name"])
    points = np.array(truth["keypoints"], np.float64).reshape(-1, 3)
    x, y, width, height = truth["bbox"]
    return Example(rgb, np.array((x, y, x + width, y + height)), np.where(points[:, 2:] > 0, points[:, :2], np.nan))


def main(
    weights: Annotated[Path, typer.Option(help="The weights.")] = Path("configs/models/xpose-eyes.safetensors"),
    data: Annotated[Path, typer.Option(help="Folder of the photographs.")] = Path("data/real"),
    models: Annotated[Path | None, typer.Option(help="Folder of MoveNet's graphs.")] = None,
    shown: Annotated[float | None, typer.Option(help="Least score; by default that with which a track begins.")] = None,
    input_size: Annotated[str | None, typer.Option(help="What the weights see of people and things: 192x144.")] = None,
    do_people: Annotated[bool, typer.Option("--people/--no-people")] = True,
    do_things: Annotated[bool, typer.Option("--things/--no-things")] = False,
    do_reach: Annotated[bool, typer.Option("--reach/--no-reach")] = False,
    do_matches: Annotated[bool, typer.Option("--matches/--no-matches")] = False,
) -> None:
    """Print every measure as JSON."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    checkpoint = load(weights)
    finders: dict[str, Find] = {}
    if do_people or do_things:
        bank = embed_prompts([Prompt(skeleton) for skeleton in find_skeletons(["person"])], checkpoint)
        width, height = map(int, (input_size or "0x0").split("x"))
        size = (min(width, height), max(width, height)) if input_size else None  # else the weights' own
        least = TrackerConfig(**checkpoint.tracker).high_score if shown is None else shown
        finders["weights"] = Eyes(checkpoint, bank, least, size)
    if models is not None:
        finders["MoveNet"] = movenet(models)
    for name, find in finders.items():
        if do_people:
            print(json.dumps({name: people(find, data / "coco80")}), flush=True)
        if do_things:
            print(json.dumps({name: things(find, data / "things")}), flush=True)
    if do_reach:
        strange = sorted((data / "coco80").glob("*.jpg"))[:STRANGE] + sorted((data / "things").glob("*.JPEG"))[:STRANGE]
        for video in (name for name in ("reach", "openfield") if (data / name / "annotations.json").exists()):
            for shots in (1, 5):
                found = reach(checkpoint, data / video, shots, strange=strange)
                print(json.dumps({f"{video}, {shots} examples": found}), flush=True)
    if do_matches:
        print(json.dumps({"things, warped": matches(checkpoint, data / "things")}), flush=True)


if __name__ == "__main__":
    typer.run(main)
