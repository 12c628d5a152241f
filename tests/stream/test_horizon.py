"""Beside its filtered place each track may be published with where it will be, now or later."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.stream.scene import frame_of
from tests.stream.spot import SpotEngine, write_spot_clip
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.horizon import FARTHEST, ahead
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.site import Site
from xpose_stream.stream.sources.clock import ClockName

STEP = 3  # frames of a clip with 15 a second


def published(folder: Path, predict: str | None) -> list[TracksMessage]:
    """What a subscriber is sent of a clip of a spot that wanders."""
    endpoint, messages = f"ipc://{folder}/tracks", []
    clip, recording = str(write_spot_clip(folder / "spot.mp4", 4)), str(folder / "t.parquet")
    site = Site.of(clip, publish=endpoint, predict=predict, record=recording)
    stream = Subscriber(endpoint, quiet=30)
    listener = threading.Thread(target=lambda: messages.extend(itertools.islice(stream, 60)))
    listener.start()
    Session(site, engine=SpotEngine(), wait_for_subscriber=20).run()
    listener.join()
    assert len(messages) == 60 and any(message.tracks for message in messages)
    return messages


def test_a_track_is_where_it_was_predicted_to_be(tmp_path: Path) -> None:
    messages = published(tmp_path, str(STEP / 15))
    held, predicted = [], []
    for now, later in zip(messages[20:], messages[20 + STEP :], strict=False):
        assert now.predicted_time == pytest.approx(later.captured_at)
        [track], [true] = now.tracks, later.tracks
        assert track.predicted and track.predicted_covariances and track.keypoints[0] and track.predicted[0]
        assert track.predicted_covariances[0] > track.covariances[0]  # type: ignore[operator]
        held.append(np.subtract(track.keypoints[0], true.measured[0]))  # type: ignore[arg-type]
        predicted.append(np.subtract(track.predicted[0], true.measured[0]))  # type: ignore[arg-type]
    assert np.abs(predicted).mean() < 0.5 * np.abs(held).mean()
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()[-60:]
    for row, message in zip(rows, messages, strict=True):
        assert row["predicted_time"] == message.predicted_time
        for track in message.tracks:
            assert track.predicted
            np.testing.assert_allclose(list(zip(row["predicted_x"], row["predicted_y"], strict=True)), track.predicted,
                                       rtol=1e-6)  # fmt: skip
            assert len(row["predicted_covariance_xx"]) == len(track.predicted)


def test_now_is_when_a_message_is_made(tmp_path: Path) -> None:
    for message in published(tmp_path, "now"):
        if message.latency_ms > 1e3 * FARTHEST:  # so old that nobody knows
            continue
        assert message.predicted_time
        age = message.predicted_time - message.captured_at
        assert 0 < age <= message.latency_ms / 1e3
        assert all(track.predicted for track in message.tracks)


def test_nothing_is_predicted_unasked(tmp_path: Path) -> None:
    for message in published(tmp_path, None):
        assert message.predicted_time is None
        assert all(track.predicted is track.predicted_covariances is None for track in message.tracks)


@pytest.mark.parametrize("clock", ["sender", "arrival"])
def test_now_is_not_guessed_where_a_clock_is_far_off(clock: ClockName) -> None:
    def asked(age: float) -> float | None:
        return ahead("now", replace(frame_of(0), clock=clock, captured_at=time.time() - age))

    assert 0.1 <= (asked(0.1) or 0) < 1
    assert asked(3600) is asked(-5) is None
    assert ahead(0.1, replace(frame_of(0), clock=clock, captured_at=time.time() + 5)) == 0.1
