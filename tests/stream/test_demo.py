"""The demo is the product's promise: real weights, real video in real time, a real subscriber, measured."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pyarrow.parquet as pq

from stream.demo import demo


def test_the_demo_finds_and_follows_persons_and_accounts_for_every_frame(tmp_path: Path) -> None:
    figures = demo(tmp_path)
    assert json.loads((tmp_path / "demo.json").read_text()) == figures
    frames = figures["frames"]
    assert frames["received"] == 720 == frames["published"] + sum(frames["dropped"].values())
    assert figures["received_by_subscriber"] == frames["published"]
    with av.open(figures["files"]["overlay"]) as video:
        assert sum(1 for _ in video.decode(video=0)) == frames["published"]
    assert len(set(pq.read_table(figures["files"]["recording"])["frame"].to_pylist())) == frames["published"]
    accuracy = figures["accuracy"]
    assert accuracy["PCK@0.1"] >= 0.75
    assert accuracy["OKS-AP"] >= 0.30
    assert accuracy["IDF1"] >= 0.85
