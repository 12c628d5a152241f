"""The recordings that every format is tried with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.stream.recordings.eventful import messages, record
from xpose_stream.stream.recordings.recording import Recording

# Readers that would bring another torch, numpy or OpenCV are installed there without what they ask for.
sys.path.append(str(Path(sys.prefix) / "readers"))

WAYS = {"even": {}, "slow": {"rate": 1.0}, "irregular": {"irregular": True}}


@pytest.fixture(scope="session", params=WAYS)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Of 30 frames/s, of 1 frame/s, and of irregular times."""
    path = tmp_path_factory.mktemp(request.param) / "Aufnahme 記録.parquet"
    return Recording(record(path, messages(**WAYS[request.param])))


@pytest.fixture(scope="session")
def even(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Of 30 frames/s."""
    return Recording(record(tmp_path_factory.mktemp("even") / "tracks.parquet", messages()))
