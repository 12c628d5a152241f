"""A dense first guess: where rows that prompts give, laid against what the backbone sees, say that something may be.

Words give rows through `Rows`, a memory of what the weights know; examples are rows themselves: what a marked keypoint
looks like. Rows against maps at stride 4 make heat: of centres, from which queries with boxes are taken, and of
keypoints, whose heat near where they are expected gives their first references and how far these are to be trusted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose import likeness
from xpose_stream.engines.xpose.config import XPoseConfig
from xpose_stream.engines.xpose.layers import neighbours, take
from xpose_stream.engines.xpose.looks import LOOK, Maps, correlate, lay_out
from xpose_stream.engines.xpose.mobilenet import HIDDEN

LOOK_GAIN = 8.0
SHARP, ALIKE = 40.0, 0.75  # of the memory: how much more the nearest word counts, and how near it has to be
PEAKED = 4.0  # power of the heat: between its mean (1) and its peak
PLAIN, SURE = 0.2, 4.0  # MoveNet's own heat from which it is plain where a keypoint is, and how sharply so
FAINT = 1e-6  # of heat to that power, in cells: what is less tells nothing
DEEP = 20.0  # in logarithms below its peak: what is lower tells nothing either, and to that power is beyond float32
LIFT = 60.0  # logarithm of what that power is multiplied by until it is summed: CPUs are slow on the tiniest numbers
REACH = 0.08  # of the box's longer side: how far from where it is expected a keypoint is looked for
PLACE = {"heat": HIDDEN + 1, "look": LOOK, "shift": 2 * (HIDDEN + 1), "place": 2, "reach": 1}  # a keypoint's row
THING = {"centre": HIDDEN + 1, "look": LOOK, "box": 4 * (2 * HIDDEN + 1)}  # an instance's row


class Rows(nn.Module):
    """What words mean: the rows of the nearest one that is known, by the cosine of meanings; else `nothing`."""

    anchors: Tensor
    start: Tensor
    free: Tensor
    nothing: Tensor
    gain: Tensor

    def __init__(self, known: int, meaning: int, parts: dict[str, int]) -> None:
        super().__init__()
        self.parts = parts
        width = sum(parts.values())
        self.register_buffer("anchors", torch.zeros(known, meaning))  # of length 1
        self.register_buffer("start", torch.zeros(known, width))
        self.register_buffer("nothing", torch.zeros(width))
        self.register_buffer("free", torch.ones(known, 1))  # 0 where the start is better than what could be learned
        self.learned = nn.Parameter(torch.zeros(known, width))
        # Looks are of length 1 and MoveNet's hidden layers are not: what is learned of both is to have one size.
        gains = [LOOK_GAIN if name == "look" else 1.0 for name in parts]
        gain = torch.cat([torch.full((size,), gain) for gain, size in zip(gains, parts.values(), strict=True)])
        self.register_buffer("gain", gain, persistent=False)

    def forward(self, meaning: Tensor) -> dict[str, Tensor]:
        """Meanings [..., P] to the parts of their rows."""
        alike = F.normalize(meaning, dim=-1) @ self.anchors.T
        weight = F.pad(SHARP * (alike - ALIKE), (0, 1)).softmax(-1)
        rows = weight @ torch.cat((self.start + self.free * self.learned * self.gain, self.nothing.unsqueeze(0)))
        own = weight[..., :-1] @ (1 - self.free)
        return dict(zip(self.parts, rows.split(list(self.parts.values()), -1), strict=True)) | {"own": own}


class Guessed(NamedTuple):
    """Of C classes with K keypoints each: what the maps say of all places."""

    maps: Maps
    things: dict[str, Tensor]  # rows [B, C, n]
    places: dict[str, Tensor]  # rows [B, C, K, n]
    centre: Tensor  # [B, C, N] logits
    heat: Tensor  # [B, C, K, N] logits
    looks: likeness.Looks | None
    alike: likeness.Alike | None  # where it looks like them


class Candidates(NamedTuple):
    """The best peaks of the centres."""

    logits: Tensor  # [B, Q, C]
    boxes: Tensor  # [B, Q, 4] cx, cy, w, h as fractions


class First(NamedTuple):
    """First references of groups' keypoints."""

    points: Tensor  # [B, G, K, 2] as fractions
    unit: Tensor  # [B, G, K, 2] how far they may be off, as fractions
    clues: Tensor  # [B, G, K, 2] of how far they are to be trusted
    own: Tensor  # [B, G, K, 1] how far, 0..1, their heat is MoveNet's own


class Peaks(NamedTuple):
    """Heat of keypoints, to be summed near places."""

    heat: Tensor  # [B, 1 | G, K, h, w] logarithms
    top: Tensor  # [B, 1 | G, K, 1, 1] their highest
    power: Tensor  # [B, 1 | G, K, h, w] of the heat, exp(LIFT) the highest


class Guess(nn.Module):
    """See the module."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        things, places = config.guess
        self.meaning, self.queries = config.prompt_dim, config.guess_queries
        self.things = Rows(things, config.prompt_dim, THING)
        self.places = Rows(places, config.prompt_dim, PLACE)
        self.trust = nn.Linear(2, config.hidden_dim)
        self.metric = likeness.Metric()

    def forward(self, dense: list[Tensor], size: tuple[int, int], instances: Tensor, keypoints: Tensor) -> Guessed:
        """`dense` as the backbone gives it of images of `size` px (height, width), prompts [B, C, P], [B, C, K, P]."""
        maps = lay_out(dense, size)
        instances, keypoints, shown = likeness.split(instances, keypoints, self.meaning)
        things, places = self.things(instances), self.places(keypoints)
        looks = torch.cat((things["look"].unsqueeze(2), places["look"]), 2).flatten(1, 2)
        seen = correlate(looks, maps.looks, maps.size).unflatten(1, (keypoints.shape[1], -1))  # B, C, 1 + K, N
        centre = against(things["centre"], maps.centre) + seen[:, :, 0]
        heat = against(places["heat"].flatten(1, 2), maps.heat).view_as(seen[:, :, 1:]) + seen[:, :, 1:]
        if shown is None:
            return Guessed(maps, things, places, centre, heat, None, None)
        alike = likeness.alike(shown, maps, self.metric)
        centre = centre + shown.share * (alike.centre - centre)
        return Guessed(maps, things, places, centre, heat, shown, alike)

    def candidates(self, guessed: Guessed) -> Candidates:
        """The best of the local maxima, with the boxes of the class they are surest of."""
        size = guessed.maps.size
        logits = guessed.centre.unflatten(-1, size)
        peak = logits >= F.max_pool2d(logits, 3, 1, 1)
        best, label = logits.masked_fill(~peak, -torch.inf).amax(1).flatten(1), guessed.centre.argmax(1)
        cell = best.topk(self.queries, sorted=True).indices  # B, Q
        classes = label.gather(1, cell)
        boxes = self.boxes(guessed, cell, classes)
        return Candidates(take(guessed.centre.transpose(1, 2), cell), boxes)

    def boxes(self, guessed: Guessed, cell: Tensor, classes: Tensor) -> Tensor:
        """Boxes [B, T, 4] that the maps have for classes [B, T] in cells [B, T]."""
        size = guessed.maps.size
        rows = take(guessed.things["box"], classes).unflatten(-1, (4, -1))  # B, T, 4, n
        hidden = guessed.maps.box(cell)  # B, T, 2 * HIDDEN
        dy, dx, tall, wide = ((rows[..., :-1] * hidden.unsqueeze(2)).sum(-1) + rows[..., -1]).unbind(-1)
        row = torch.div(cell, size[1], rounding_mode="floor")
        parts = (cell - row * size[1] + dx, row + dy, wide.clamp(min=1.0), tall.clamp(min=1.0))
        boxes = torch.stack(parts, -1) / hidden.new_tensor(guessed.maps.extent * 2)
        if guessed.looks is not None:
            share, sizes = (take(part, classes) for part in (guessed.looks.share, guessed.looks.size))
            cells = torch.stack((cell - row * size[1], row), -1) + 0.5
            shown = torch.cat((cells / hidden.new_tensor(guessed.maps.extent), sizes), -1)
            boxes = boxes + share * (shown - boxes)
        return boxes.clamp(0.002, 1.0)

    def first(self, guessed: Guessed, boxes: Tensor, classes: Tensor) -> First:
        """First references for groups' boxes [B, G, 4] of classes [B, G]: the mean of the heat near where keypoints are
        expected, and its spread.
        """
        size = guessed.maps.size
        scale = boxes.new_tensor(guessed.maps.extent)  # fractions to cells
        place = {
            name: take(part.flatten(2), classes).unflatten(-1, part.shape[2:])
            for name, part in guessed.places.items()
            if name in ("shift", "place", "reach", "own")
        }  # B, G, K, n
        # A dog's nose is not a man's, though it has its word.
        place["own"] = place["own"] * take(guessed.things["own"], classes).unsqueeze(2)
        expected = self._expected(guessed.maps, boxes, place, scale)  # cells
        heat = -F.softplus(-guessed.heat)  # its logarithm, which OpenVINO's logsigmoid is only above -88
        heat = heat if heat.shape[1] == 1 else take(heat.flatten(2), classes).unflatten(-1, heat.shape[2:])
        if guessed.looks is not None and guessed.alike is not None:  # B, 1 | G, K, N
            by_looks = take(guessed.looks.share, classes).unsqueeze(2)
            own = F.one_hot(classes, guessed.heat.shape[1]).to(boxes.dtype)
            shift, alike = likeness.as_it_lies(guessed.alike, own, cell_of(boxes, guessed.maps))
            expected = expected + by_looks * (boxes[..., None, :2] * scale + shift - expected)
            heat = heat + by_looks * (alike - heat)
            place["reach"] = place["reach"] + by_looks * (likeness.FAR - place["reach"])
            place["own"] = place["own"] * (1 - by_looks)
        longest = (boxes[..., 2:] * scale).amax(-1, keepdim=True)
        sigma = REACH * longest * place["reach"][..., 0].clamp(-2.0, 3.0).exp() + 1.0  # B, G, K
        peaks = peaks_of(heat.unflatten(-1, size))
        looked_at = expected + place["own"] * (middle(peaks, expected, sigma) - expected)
        mean, spread, peak = near(peaks, looked_at, sigma)
        clues = torch.cat(((spread / longest.unsqueeze(-1)).log(), peak / 4), -1)
        # MoveNet has seen far more photographs than the decoder, which moves what is plain in them for the worse.
        unit = spread * (1 - place["own"] * (SURE * (peak - math.log(PLAIN))).sigmoid())
        if guessed.looks is not None:
            unit = unit * (1 - by_looks)  # the decoder knows nothing of looks
        return First(mean / scale, unit / scale, clues, place["own"])

    def decided(self, guessed: Guessed) -> Tensor | float:
        """What part [B, 1 | G, C] of a class's logit the decoder may add to: not what is known by looks alone."""
        return 1.0 if guessed.looks is None else (1 - guessed.looks.share).transpose(1, 2)

    def _expected(self, maps: Maps, boxes: Tensor, place: dict[str, Tensor], scale: Tensor) -> Tensor:
        """Where keypoints [B, G, K, 2] are expected, in cells: as the map of shifts says at the box's centre."""
        centre = boxes[..., :2]
        hidden = self._shift(maps, centre * scale)
        rows = place["shift"].unflatten(-1, (2, -1))  # B, G, K, 2 (y, x), n
        shift = (rows[..., :-1] @ hidden[:, :, None, :, None]).squeeze(-1) + rows[..., -1]
        extent = (boxes[..., 2:] * scale).unsqueeze(2)
        return centre.unsqueeze(2) * scale + shift.flip(-1) - 0.5 + place["place"] * extent

    def _shift(self, maps: Maps, places: Tensor) -> Tensor:
        """The hidden layer of shifts at places [B, G, 2] in cells, between them: [B, G, HIDDEN]."""
        size = places.new_tensor(maps.size)
        columns, rows = (neighbours(places[..., i], size[1 - i]) for i in (0, 1))
        four = [(row * size[1] + column, down * across) for row, down in rows for column, across in columns]
        cell, share = (torch.stack(parts, 1) for parts in zip(*four, strict=True))  # B, 4, G
        hidden = maps.shift(cell.flatten(1).long()).unflatten(1, cell.shape[1:])  # B, 4, G, HIDDEN
        return (hidden * share.unsqueeze(-1)).sum(1)


def peaks_of(heat: Tensor) -> Peaks:
    """Of heat [B, 1 | G, K, h, w] (logarithms)."""
    top = heat.flatten(-2).amax(-1)[..., None, None]
    heat = torch.maximum(heat, top - DEEP)
    return Peaks(heat, top, (PEAKED * (heat - top) + LIFT).exp())


def near(peaks: Peaks, places: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the heat near places [B, G, K, 2] in cells the mean place [B, G, K, 2], spread and height [B, G, K, 1]."""
    down, across, _ = weights_near(places, sigma, peaks.power)
    both = rows_of(down, torch.cat((peaks.power, peaks.power * peaks.heat), -1))  # B, G, K, 3, 2 * w
    sums, heights = (part @ across.transpose(-1, -2) * math.exp(-LIFT) for part in both.chunk(2, -1))  # B, G, K, 3, 3
    share, height = sums / sums[..., :1, :1], heights[..., :1, 0] / sums[..., :1, 0]
    mean, square = torch.stack((share[..., 0, 1], share[..., 1, 0]), -1), share[..., 0, 2:] + share[..., 2, :1]
    sigma = sigma.unsqueeze(-1)
    spread = (square - mean.square().sum(-1, keepdim=True)) * sigma.square()
    return places + sigma * mean, spread.clamp(min=0.25).sqrt(), height


def middle(peaks: Peaks, places: Tensor, sigma: Tensor) -> Tensor:
    """That mean, but the place where there is hardly any heat."""
    down, across, beyond = weights_near(places, sigma, peaks.power)
    sums = rows_of(down[..., :2, :], peaks.power) @ across[..., :2, :].transpose(-1, -2) * math.exp(-LIFT)
    sums = sums * (PEAKED * (peaks.top - beyond)).exp()
    mean = torch.stack((sums[..., 0, 1], sums[..., 1, 0]), -1) / (sums[..., :1, 0] + FAINT)
    return places + sigma.unsqueeze(-1) * mean


def rows_of(down: Tensor, map: Tensor) -> Tensor:
    """Sums over the rows of maps [B, 1 | G, K, h, w] with weights [B, G, K, n, h]: [B, G, K, n, w]."""
    if map.shape[1] > 1:
        return down @ map
    together = down.transpose(1, 2).flatten(2, 3) @ map[:, 0]  # a map that groups share is read once for all of them
    return together.unflatten(2, (down.shape[1], -1)).transpose(1, 2)


def weights_near(places: Tensor, sigma: Tensor, map: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What counts of the rows [..., 3, h] and columns [..., 3, w] of a map near places [..., 2] in cells.

    By how many sigmas [...] down or across they are, the nearest counting 1; this times that number, and times its
    square; and half the squared distance [..., 1, 1] of the nearest cell.
    """
    x, y = (torch.arange(side, device=map.device, dtype=map.dtype) + 0.5 for side in (map.shape[-1], map.shape[-2]))
    counted, beyond = [], torch.zeros_like(sigma)
    for axis, place in ((y, places[..., 1:]), (x, places[..., :1])):
        off = (axis - place) / sigma.unsqueeze(-1)
        away = off.square() / 2
        least = away.amin(-1, keepdim=True)
        share = (PEAKED * (least - away)).exp()
        counted.append(torch.stack((share, share * off, share * off.square()), -2))
        beyond = beyond + least[..., 0]
    return counted[0], counted[1], beyond[..., None, None]


def against(rows: Tensor, hidden: Tensor) -> Tensor:
    """Rows [B, M, n + 1], the last number a bias, at all cells of hidden [B, N, n]: [B, M, N]."""
    return (hidden @ rows[..., :-1].transpose(1, 2)).transpose(1, 2) + rows[..., -1:]


def cell_of(boxes: Tensor, maps: Maps) -> Tensor:
    """The cells [B, G] in which the centres of boxes [B, G, 4] lie."""
    height, width = maps.size
    column, row = (boxes[..., :2] * boxes.new_tensor(maps.extent)).long().unbind(-1)
    return row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
