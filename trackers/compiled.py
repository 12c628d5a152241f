"""The arithmetic of `kalman`, `state` and `association`, compiled by numba where it is there: the same numbers, sooner.

NumPy needs a few dozen calls of some microseconds each, however few the tracks; compiled it is one. NumPy's remains the
reference, and what runs without numba (`pip install 'xpose-stream[fast]'`). What is compiled once stays on the disk
where there is a place for it.
"""
# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-redef"

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np

try:
    import numba
    from numba.core.caching import FunctionCache
except ImportError:  # the extra is not installed
    AVAILABLE = False
else:
    AVAILABLE = True

    class _Kept(FunctionCache):
        """What was compiled, on the disk: where that is full or what is there is damaged, it is compiled anew."""

        def load_overload(self, *given):
            with suppress(Exception):
                return super().load_overload(*given)

        def save_overload(self, *given):
            with suppress(OSError):
                super().save_overload(*given)


def jit(function):
    """`function`, compiled when first called. Without numba as it is: `AVAILABLE` tells that nobody should call it."""
    if not AVAILABLE:
        return function
    compiled = numba.njit(error_model="numpy")(function)
    with suppress(RuntimeError):  # no folder for it, neither beside this file nor in a home
        compiled._cache = _Kept(function)
    return compiled


NOTHING = 40.0  # e^-40 is


@jit
def predict(points, bodies, density, body_density, interval, reach, decay, spread, eager):
    """`kalman._predict`."""
    for t in range(points.shape[0]):
        body = bodies[t]
        body.pp += interval * (2 * body.pv + interval * body.vv) + body_density[t] * (interval**3 / 3)
        body.pv += interval * body.vv + body_density[t] * (interval**2 / 2)
        body.vv += body_density[t] * interval
        for p in range(points.shape[1]):
            point = points[t, p]
            for axis in range(2):
                drift = point.velocity[axis] - body.velocity[axis]
                point.position[axis] += body.velocity[axis] * interval + drift * reach
                point.velocity[axis] = body.velocity[axis] + drift * decay
                point.measured[axis] = math.nan
            lean = (point.lean[0] ** 2 + point.lean[1] ** 2) / 2
            here = density[t] * (1 + min(max(eager[0] * (lean - eager[1]), 0.0), eager[2]))
            cross = point.pv + reach * point.vv
            point.pp += reach * (point.pv + cross) + here * spread[0]
            point.pv = decay * cross + here * spread[1]
            point.vv = decay**2 * point.vv + here * spread[2]
            point.score, point.weight = math.nan, 0.0


@jit
def correct(points, bodies, measured, assumed, terms, most, noise_range):
    """`kalman._correct`."""
    heaviness, guidance, learning, memory = terms
    for t in range(points.shape[0]):
        body = bodies[t]
        known, mean_x, mean_y = 0.0, 0.0, 0.0
        for p in range(points.shape[1]):
            point = points[t, p]
            x, y = measured[t, p, 0] - point.position[0], measured[t, p, 1] - point.position[1]
            if math.isnan(x + y):
                continue
            own = point.pp + assumed[t, p] * point.noise
            weight = (1 + 2 * heaviness[p]) / (1 + (x * x + y * y) / (own + body.pp) * heaviness[p])
            information = guidance[p] * weight / own
            known += information
            mean_x += information * x
            mean_y += information * y
        shift_x, shift_y, faster_x, faster_y = 0.0, 0.0, 0.0, 0.0
        if known > 0 and body.pp > 0:
            mean_x, mean_y = mean_x / known, mean_y / known
            gain, velocity_gain = body.pp / (body.pp + 1 / known), body.pv / (body.pp + 1 / known)
            shift_x, shift_y = gain * mean_x, gain * mean_y
            faster_x, faster_y = velocity_gain * mean_x, velocity_gain * mean_y
            body.velocity[0] += faster_x
            body.velocity[1] += faster_y
            body.vv -= velocity_gain * body.pv
            body.pv -= gain * body.pv
            body.pp -= gain * body.pp
        for p in range(points.shape[1]):
            point = points[t, p]
            point.measured[0], point.measured[1], point.weight = measured[t, p, 0], measured[t, p, 1], 0.0
            point.position[0] += shift_x
            point.position[1] += shift_y
            point.velocity[0] += faster_x
            point.velocity[1] += faster_y
            x, y = measured[t, p, 0] - point.position[0], measured[t, p, 1] - point.position[1]
            if math.isnan(x + y):
                continue
            variance = assumed[t, p] * point.noise
            total, square = point.pp + variance, x * x + y * y
            weight = min((1 + 2 * heaviness[p]) / (1 + square / total * heaviness[p]), 1.0)
            believed = point.pp + variance / weight
            gain, velocity_gain = point.pp / believed, point.pv / believed
            rest = 1 - gain
            left = (weight * rest * rest * square / 2 + rest * point.pp) / variance
            learnt = point.noise * (1 + learning[p] * (min(left, most) - 1))
            tilt = math.sqrt(weight / total)
            point.noise = min(max(learnt, noise_range[0]), noise_range[1])
            point.lean[0] += memory[p] * (tilt * x - point.lean[0])
            point.lean[1] += memory[p] * (tilt * y - point.lean[1])
            point.position[0] += gain * x
            point.position[1] += gain * y
            point.velocity[0] += velocity_gain * x
            point.velocity[1] += velocity_gain * y
            point.vv -= velocity_gain * point.pv
            point.pp *= rest
            point.pv *= rest
            point.weight = weight


@jit
def smooth(points, bodies, times, measured, sizes, body, assumed, heaviness, memories, density, damping, eager, most,
           noise_range):  # fmt: skip
    """`smoothing._both_ways` of a body whose velocities [F, 2] are given, from `points` and `bodies` on."""
    frames, count = measured.shape[:2]
    ahead, after = np.empty((frames, count, 7)), np.empty((frames, count, 7))
    terms, learnt, still = np.zeros((4, count)), np.zeros(count), np.zeros(1)
    terms[0] = heaviness
    for frame in range(frames):
        interval = 0.0
        if frame:
            interval = times[frame] - times[frame - 1]
            for axis in range(2):
                for p in range(count):
                    points[0, p].velocity[axis] += body[frame - 1, axis] - bodies[0].velocity[axis]
                bodies[0].velocity[axis] = body[frame - 1, axis]
            reach, decay, spread = _steps(interval, damping)
            predict(points, bodies, density[frame : frame + 1], still, interval, reach, decay, spread, eager)
        _keep(points, bodies, ahead[frame])
        terms[2], terms[3] = -math.expm1(-interval / memories[0]), -math.expm1(-interval / memories[1])
        correct(points, bodies, measured[frame : frame + 1], assumed[frame : frame + 1], terms, most, noise_range)
        _keep(points, bodies, after[frame])
        for p in range(count):
            learnt[p] += points[0, p].noise
    for frame in range(frames - 2, -1, -1):
        reach, decay, _ = _steps(times[frame + 1] - times[frame], damping)
        for p in range(count):
            here, later, expected = after[frame, p], after[frame + 1, p], ahead[frame + 1, p]
            pp, pv, vv = expected[4], expected[5], expected[6]
            area = pp * vv - pv * pv
            # gain = here [[1, 0], [reach, decay]] inverse(expected)
            x0, x1, v0, v1 = here[4] + reach * here[5], decay * here[5], here[5] + reach * here[6], decay * here[6]
            x0, x1, v0, v1 = x0 * vv - x1 * pv, x1 * pp - x0 * pv, v0 * vv - v1 * pv, v1 * pp - v0 * pv
            x0, x1, v0, v1 = x0 / area, x1 / area, v0 / area, v1 / area
            for axis in range(2):
                off, faster = later[axis] - expected[axis], later[2 + axis] - expected[2 + axis]
                here[axis] += x0 * off + x1 * faster
                here[2 + axis] += v0 * off + v1 * faster
            pp, pv, vv = later[4] - pp, later[5] - pv, later[6] - vv
            here[4] += x0 * x0 * pp + 2 * x0 * x1 * pv + x1 * x1 * vv
            here[5] += x0 * v0 * pp + (x0 * v1 + x1 * v0) * pv + x1 * v1 * vv
            here[6] += v0 * v0 * pp + 2 * v0 * v1 * pv + v1 * v1 * vv
    return after, learnt


@jit
def _steps(interval, damping):
    """`kalman.steps`."""
    if math.isinf(damping):
        return interval, 1.0, (interval**3 / 3, interval**2 / 2, interval)
    decay, lost = math.exp(-interval / damping), -math.expm1(-interval / damping)
    reach = damping * lost
    spread = damping**2 * (interval - reach - reach * lost / 2), reach**2 / 2, reach * (1 + decay) / 2
    return reach, decay, spread


@jit
def _keep(points, bodies, into):
    """Of each point place, velocity beside the body's, pp, pv and vv, [P, 7]."""
    for p in range(len(into)):
        point = points[0, p]
        for axis in range(2):
            into[p, axis] = point.position[axis]
            into[p, 2 + axis] = point.velocity[axis] - bodies[0].velocity[axis]
        into[p, 4], into[p, 5], into[p, 6] = point.pp, point.pv, point.vv


@jit
def boxes_of(points):
    """`state.boxes_of`."""
    boxes, sizes = np.empty((len(points), 4)), np.empty(len(points))
    for t in range(len(points)):
        first, second = points[t, -2].position, points[t, -1].position
        for axis in range(2):
            boxes[t, axis], boxes[t, 2 + axis] = min(first[axis], second[axis]), max(first[axis], second[axis])
        sizes[t] = max(boxes[t, 2] - boxes[t, 0], boxes[t, 3] - boxes[t, 1])
    return boxes, sizes


@jit
def begin(things, points, bodies, boxes, scores, class_ids, keypoints, time, absurd, own, unseen, speed, body_speed):
    """`state._begin`."""
    for t in range(len(things)):
        thing, body, size = things[t], bodies[t], max(boxes[t, 2] - boxes[t, 0], boxes[t, 3] - boxes[t, 1])
        thing.class_id, thing.score, thing.hits, thing.born, thing.last = class_ids[t], scores[t], 1, time, time
        body.vv = (body_speed * size) ** 2
        for p in range(points.shape[1]):
            point = points[t, p]
            for axis in range(2):
                if p < keypoints.shape[1]:
                    point.measured[axis] = keypoints[t, p, axis]
                else:
                    point.measured[axis] = boxes[t, 2 * (p - keypoints.shape[1]) + axis]
            point.ever = abs(point.measured[0]) < absurd and abs(point.measured[1]) < absurd
            for axis in range(2):
                if not point.ever:
                    point.measured[axis] = math.nan
                centre = (boxes[t, axis] + boxes[t, 2 + axis]) / 2
                point.position[axis] = point.measured[axis] if point.ever else centre
            point.pp, point.vv = ((own if point.ever else unseen) * size) ** 2, (speed * size) ** 2
            point.noise, point.weight = 1.0, 1.0 if point.ever else 0.0


@jit
def similarities(things_a, points_a, bodies_a, sigmas, time, things_b, points_b, bodies_b, astray, hidden, step,
                 strictness, pose):  # fmt: skip
    """`association._similarities`."""
    n, m = len(things_a), len(things_b)
    strict, lenient = np.zeros((n, m)), np.zeros((n, m))
    boxes_a, sizes = boxes_of(points_a)
    boxes_b, _ = boxes_of(points_b)
    known_a, spans_a, variance_a = _known(points_a, bodies_a, step)
    known_b, spans_b, variance_b = _known(points_b, bodies_b, step)
    for i in range(n):
        tolerance = (sigmas[i, ::step] * sizes[i]) ** 2
        away = (astray * sizes[i] * max(time - things_a[i].last - hidden, 0.0)) ** 2
        widest = variance_a[i] + away + (tolerance.max() if len(tolerance) else 0.0)
        area = (boxes_a[i, 2] - boxes_a[i, 0]) * (boxes_a[i, 3] - boxes_a[i, 1])
        for j in range(m):
            if things_a[i].class_id != things_b[j].class_id:
                continue
            width = min(boxes_a[i, 2], boxes_b[j, 2]) - max(boxes_a[i, 0], boxes_b[j, 0])
            height = min(boxes_a[i, 3], boxes_b[j, 3]) - max(boxes_a[i, 1], boxes_b[j, 1])
            overlap = max(width, 0.0) * max(height, 0.0)
            x = max(spans_a[i, 0] - spans_b[j, 2], spans_b[j, 0] - spans_a[i, 2], 0.0)
            y = max(spans_a[i, 1] - spans_b[j, 3], spans_b[j, 1] - spans_a[i, 3], 0.0)
            if overlap == 0 and (x * x + y * y) / 2 > NOTHING * (widest + variance_b[j]):
                continue  # as most pairs are
            area_b = (boxes_b[j, 2] - boxes_b[j, 0]) * (boxes_b[j, 3] - boxes_b[j, 1])
            iou = overlap / (area + area_b - overlap)
            near, far, common = 0.0, 0.0, 0
            for p in range(len(tolerance)):
                x, y = known_a[i, p, 0] - known_b[j, p, 0], known_a[i, p, 1] - known_b[j, p, 1]
                half = (x * x + y * y) / 2
                if math.isnan(half):
                    continue
                common += 1
                wide = tolerance[p] + known_b[j, p, 2] + known_a[i, p, 2] + away
                if half > NOTHING * wide:
                    continue
                far += math.exp(-half / wide)
                certain = strictness**2 * tolerance[p] + known_b[j, p, 2]
                spread = certain + known_a[i, p, 2]
                near += math.sqrt(certain / spread) * math.exp(-half / spread)
            if common:
                strict[i, j] = pose * near / common + (1 - pose) * iou
                lenient[i, j] = pose * far / common + (1 - pose) * iou
            else:
                strict[i, j] = lenient[i, j] = iou
    return strict, lenient


@jit
def _known(points, bodies, step):
    """Of every `step`th keypoint x, y (px, or NaN) and variance, [T, ., 3]; the box around them; the most variance."""
    chosen = (points.shape[1] - 3) // step + 1
    known = np.full((len(points), chosen, 3), math.nan)
    spans, largest = np.empty((len(points), 4)), np.zeros(len(points))
    for t in range(len(points)):
        spans[t] = math.inf, math.inf, -math.inf, -math.inf
        for p in range(chosen):
            point = points[t, p * step]
            if point.ever:
                x, y, variance = point.position[0], point.position[1], point.pp + bodies[t].pp
                known[t, p, 0], known[t, p, 1], known[t, p, 2] = x, y, variance
                spans[t, 0], spans[t, 1] = min(spans[t, 0], x), min(spans[t, 1], y)
                spans[t, 2], spans[t, 3] = max(spans[t, 2], x), max(spans[t, 3], y)
                largest[t] = max(largest[t], variance)
    return known, spans, largest


@jit
def sole_matches(strict, lenient, confirmed, high, free, similarity, reentry):
    """`association.matches` where nobody has a choice, and whether that is so."""
    left, column_of, row_of = free.copy(), np.full(len(confirmed), -1), np.full(len(high), -1)
    for turn in range(4):
        alike, least = (strict, similarity) if turn in (0, 2) else (lenient, reentry)
        for t in range(len(confirmed)):
            if confirmed[t] != (turn < 3) or column_of[t] >= 0:
                continue
            for d in range(len(high)):
                if high[d] == (turn != 2) and left[d] and alike[t, d] >= least:
                    if column_of[t] >= 0 or row_of[d] >= 0:
                        return column_of, column_of, False
                    column_of[t], row_of[d] = d, t
        left &= row_of < 0
    rows = np.flatnonzero(column_of >= 0)
    return rows, column_of[rows], True


@jit
def take(things, points, found_things, found_points, rows, columns, sigmas, now, noise, memory):
    """`state._take`."""
    _, sizes = boxes_of(points)
    measured, assumed = np.full((*points.shape, 2), math.nan), np.empty(points.shape)
    fresh = False
    for t in range(len(points)):
        assumed[t] = (noise * sizes[t]) ** 2
    for pair in range(len(rows)):
        t, d = rows[pair], columns[pair]
        thing = things[t]
        thing.score -= math.expm1(-(now - thing.last) / memory) * (found_things[d].score - thing.score)
        thing.last = now
        thing.hits += 1
        for p in range(points.shape[1]):
            measured[t, p, 0], measured[t, p, 1] = found_points[d, p].measured[0], found_points[d, p].measured[1]
            fresh = fresh or (found_points[d, p].ever and not points[t, p].ever)
            if len(sigmas) and p < sigmas.shape[1] and 0 < sigmas[d, p] < math.inf:
                assumed[t, p] = sigmas[d, p] ** 2
    return measured, assumed, fresh


@jit
def publish(things, points, bodies, updated, confirm_hits, slow, rejected, agreement, undetected):
    """`state._publish`."""
    shape = points.shape[0], points.shape[1] - 2
    scores, status, keypoint_status = np.empty(shape[0]), np.empty(shape[0], np.int64), np.zeros(shape, np.int64)
    keypoints, velocities, measurements = np.empty((*shape, 2)), np.empty((*shape, 2)), np.empty((*shape, 2))
    covariances = np.zeros((*shape, 2, 2))
    boxes, sizes = boxes_of(points)
    for t in range(shape[0]):
        count, distance, lasting = 0, 0.0, slow * sizes[t] ** 2
        for p in range(shape[1]):
            point = points[t, p]
            variance = point.pp + bodies[t].pp + lasting * point.noise
            for axis in range(2):
                keypoints[t, p, axis], velocities[t, p, axis] = point.position[axis], point.velocity[axis]
                measurements[t, p, axis] = point.measured[axis]
                covariances[t, p, axis, axis] = variance
            if point.weight > 0:
                keypoint_status[t, p] = 3 if point.weight >= rejected else 2
            elif point.ever:
                keypoint_status[t, p] = 1
            x, y = point.measured[0] - point.position[0], point.measured[1] - point.position[1]
            if not math.isnan(x + y):
                distance += math.sqrt(x * x + y * y)
                count += 1
        detected = things[t].last == updated
        status[t] = 0 if things[t].hits < confirm_hits else 1 if detected else 2
        share = math.exp(-distance / max(count, 1) / sizes[t] / agreement) if detected else undetected
        scores[t] = things[t].score * share
    return scores, boxes, keypoints, velocities, covariances, measurements, status, keypoint_status
