"""The arithmetic of `kalman` and `association`, compiled by numba where it is installed: the same numbers, sooner.

NumPy needs a few dozen calls of some microseconds each, however few the tracks; compiled it is one. NumPy's remains the
reference, and what runs without numba (`pip install 'xpose-stream[fast]'`). What is compiled once stays on the disk.
"""
# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-redef"

from __future__ import annotations

import math

import numpy as np

try:
    from numba import njit
except ImportError:  # the extra is not installed
    AVAILABLE = False

    def njit(**_):
        """Leave a function as it is; `AVAILABLE` tells that nobody should call it."""
        return lambda function: function
else:
    AVAILABLE = True


@njit(cache=True, error_model="numpy")
def predict(position, velocity, body, pp, pv, vv, common, lean, density, body_density, interval, reach, decay, spread,
            eager):  # fmt: skip
    """`Motion.predicted`, without what stays as it is."""
    tracks, points = pp.shape
    new_position, new_velocity = np.empty_like(position), np.empty_like(velocity)
    new_pp, new_pv, new_vv, new_common = np.empty_like(pp), np.empty_like(pp), np.empty_like(pp), np.empty_like(common)
    for t in range(tracks):
        cpp, cpv, cvv = common[0, t], common[1, t], common[2, t]
        new_common[0, t] = cpp + 2 * interval * cpv + interval**2 * cvv + body_density[t] * (interval**3 / 3)
        new_common[1, t] = cpv + interval * cvv + body_density[t] * (interval**2 / 2)
        new_common[2, t] = cvv + body_density[t] * interval
        for p in range(points):
            for axis in range(2):
                drift = velocity[t, p, axis] - body[t, axis]
                new_position[t, p, axis] = position[t, p, axis] + body[t, axis] * interval + drift * reach
                new_velocity[t, p, axis] = body[t, axis] + drift * decay
            tilt = (lean[t, p, 0] ** 2 + lean[t, p, 1] ** 2) / 2
            here = density[t] * (1 + min(max(eager[0] * (tilt - eager[1]), 0.0), eager[2]))
            cross = pv[t, p] + reach * vv[t, p]
            new_pp[t, p] = pp[t, p] + reach * (pv[t, p] + cross) + here * spread[0]
            new_pv[t, p] = decay * cross + here * spread[1]
            new_vv[t, p] = decay**2 * vv[t, p] + here * spread[2]
    return new_position, new_velocity, new_pp, new_pv, new_vv, new_common


@njit(cache=True, error_model="numpy")
def correct(position, velocity, body, pp, pv, vv, common, noise, lean, measured, assumed, heaviness, guidance, learning,
            memory, most, noise_range):  # fmt: skip
    """`Motion.corrected`."""
    tracks, points = pp.shape
    position, velocity, body, common = position.copy(), velocity.copy(), body.copy(), common.copy()
    pp, pv, vv, noise, lean = pp.copy(), pv.copy(), vv.copy(), noise.copy(), lean.copy()
    weights = np.zeros_like(pp)
    for t in range(tracks):
        known, mean_x, mean_y = 0.0, 0.0, 0.0
        cpp, cpv, cvv = common[0, t], common[1, t], common[2, t]
        for p in range(points):
            x, y = measured[t, p, 0] - position[t, p, 0], measured[t, p, 1] - position[t, p, 1]
            if math.isnan(x + y):
                continue
            own = pp[t, p] + assumed[t, p] * noise[t, p]
            weight = (1 + 2 * heaviness[p]) / (1 + (x * x + y * y) / (own + cpp) * heaviness[p])
            information = guidance[p] * weight / own
            known += information
            mean_x += information * x
            mean_y += information * y
        shift_x, shift_y, faster_x, faster_y = 0.0, 0.0, 0.0, 0.0
        if known > 0 and cpp > 0:
            mean_x, mean_y = mean_x / known, mean_y / known
            gain, velocity_gain = cpp / (cpp + 1 / known), cpv / (cpp + 1 / known)
            shift_x, shift_y, faster_x, faster_y = (
                gain * mean_x, gain * mean_y, velocity_gain * mean_x, velocity_gain * mean_y
            )  # fmt: skip
            body[t, 0] += faster_x
            body[t, 1] += faster_y
            common[0, t], common[1, t], common[2, t] = cpp - gain * cpp, cpv - gain * cpv, cvv - velocity_gain * cpv
        for p in range(points):
            position[t, p, 0] += shift_x
            position[t, p, 1] += shift_y
            velocity[t, p, 0] += faster_x
            velocity[t, p, 1] += faster_y
            x, y = measured[t, p, 0] - position[t, p, 0], measured[t, p, 1] - position[t, p, 1]
            if math.isnan(x + y):
                continue
            variance = assumed[t, p] * noise[t, p]
            total, square = pp[t, p] + variance, x * x + y * y
            weight = min((1 + 2 * heaviness[p]) / (1 + square / total * heaviness[p]), 1.0)
            weights[t, p] = weight
            believed = pp[t, p] + variance / weight
            gain, velocity_gain = pp[t, p] / believed, pv[t, p] / believed
            rest = 1 - gain
            left = (weight * rest * rest * square / 2 + rest * pp[t, p]) / variance
            noise[t, p] += learning[p] * (min(left, most) - 1) * noise[t, p]
            noise[t, p] = min(max(noise[t, p], noise_range[0]), noise_range[1])
            tilt = math.sqrt(weight / total)
            lean[t, p, 0] += memory[p] * (tilt * x - lean[t, p, 0])
            lean[t, p, 1] += memory[p] * (tilt * y - lean[t, p, 1])
            position[t, p, 0] += gain * x
            position[t, p, 1] += gain * y
            velocity[t, p, 0] += velocity_gain * x
            velocity[t, p, 1] += velocity_gain * y
            vv[t, p] -= velocity_gain * pv[t, p]
            pp[t, p] *= rest
            pv[t, p] *= rest
    return position, velocity, body, pp, pv, vv, common, noise, lean, weights


@njit(cache=True, error_model="numpy")
def similarities(boxes_a, classes_a, points_a, seen_a, variances_a, tolerance_a, astray_a, boxes_b, classes_b,
                 points_b, seen_b, variances_b, tolerance_b, astray_b, step, strictness, pose):  # fmt: skip
    """`association.similarities`."""
    n, m, k = len(boxes_a), len(boxes_b), points_a.shape[1]
    strict, lenient = np.zeros((n, m)), np.zeros((n, m))
    for i in range(n):
        for j in range(m):
            if classes_a[i] != classes_b[j]:
                continue
            width = min(boxes_a[i, 2], boxes_b[j, 2]) - max(boxes_a[i, 0], boxes_b[j, 0])
            height = min(boxes_a[i, 3], boxes_b[j, 3]) - max(boxes_a[i, 1], boxes_b[j, 1])
            overlap = max(width, 0.0) * max(height, 0.0)
            area_a = (boxes_a[i, 2] - boxes_a[i, 0]) * (boxes_a[i, 3] - boxes_a[i, 1])
            area_b = (boxes_b[j, 2] - boxes_b[j, 0]) * (boxes_b[j, 3] - boxes_b[j, 1])
            iou = overlap / (area_a + area_b - overlap)
            near, far, common = 0.0, 0.0, 0
            for p in range(0, k, step):
                if seen_a[i, p] and seen_b[j, p]:
                    common += 1
                    x, y = points_a[i, p, 0] - points_b[j, p, 0], points_a[i, p, 1] - points_b[j, p, 1]
                    half, tolerance = (x * x + y * y) / 2, tolerance_a[i, p] ** 2
                    wide = tolerance + variances_b[j, p] + variances_a[i, p] + astray_a[i]
                    if half > 40 * wide:
                        continue  # e^-40 is nothing
                    far += math.exp(-half / wide)
                    certain = strictness**2 * tolerance + variances_b[j, p]
                    spread = certain + variances_a[i, p]
                    near += math.sqrt(certain / spread) * math.exp(-half / spread)
            if common:
                strict[i, j] = pose * near / common + (1 - pose) * iou
                lenient[i, j] = pose * far / common + (1 - pose) * iou
            else:
                strict[i, j] = lenient[i, j] = iou
    return strict, lenient


@njit(cache=True, error_model="numpy")
def publish(position, measured, pp, common, noise, weight, ever, slow, rejected):
    """The K keypoints' covariances [T, K, 2, 2], status [T, K] and the mean distance [T] px to what was measured."""
    tracks, points = pp.shape[0], pp.shape[1] - 2
    covariances, status = np.zeros((tracks, points, 2, 2)), np.zeros((tracks, points), np.int64)
    distance = np.zeros(tracks)
    for t in range(tracks):
        count = 0
        for p in range(points):
            variance = pp[t, p] + common[0, t] + slow[t] * noise[t, p]
            covariances[t, p, 0, 0], covariances[t, p, 1, 1] = variance, variance
            if weight[t, p] > 0:
                status[t, p] = 3 if weight[t, p] >= rejected else 2
            elif ever[t, p]:
                status[t, p] = 1
            away = math.hypot(measured[t, p, 0] - position[t, p, 0], measured[t, p, 1] - position[t, p, 1])
            if not math.isnan(away):
                distance[t] += away
                count += 1
        distance[t] /= max(count, 1)
    return covariances, status, distance
