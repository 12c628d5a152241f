"""A site's file with a part `fleet`, and the shards that come of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xpose_stream.stream.fleet.plan import Need, plan
from xpose_stream.stream.fleet.site import FleetSite
from xpose_stream.stream.site import Site, SiteError

CAMERAS = [
    {"source": "rtsp://u:s3cret@10.0.0.5/x", "name": "door", "rate": 5, "network": "hall"},
    {"source": "/dev/video0", "fps": 10},
]


def load(folder: Path, **parts: Any) -> FleetSite:
    path = folder / "site.yaml"
    path.write_text(json.dumps({"cameras": CAMERAS, **parts}))
    return FleetSite.load(path)


def test_what_cameras_need_and_shards_have(tmp_path: Path) -> None:
    machines = [
        {"name": "a", "networks": ["hall"], "gpus": 2, "rate": 300, "memory_mb": 500},
        {"name": "b", "address": "10.0.0.9", "ports": 7000},
    ]
    site = load(tmp_path, fleet={"machines": machines, "memory_mb": 50})
    assert site.needs == [Need("door", 5, 50, "hall"), Need("video0", 10, 50)]
    assert [room.shard for room in site.rooms()] == ["a.0", "a.1", "b.0"]
    assert [room.shard for room in site.rooms({"b"})] == ["b.0"]
    shards = site.shards({"door": "a.1", "video0": "b.0"})
    assert set(shards) == {"a.1", "b.0"} and shards["a.1"].gpu == 1 and shards["a.1"].alone and not shards["b.0"].alone
    outputs = shards["b.0"].rest["outputs"]
    assert (outputs["publish"], outputs["metrics"]) == ("tcp://10.0.0.9:7000", "10.0.0.9:7001")
    assert outputs["control"] == "tcp://127.0.0.1:7002" and not outputs["page"]
    assert shards["a.1"].rest["outputs"]["publish"] == "tcp://127.0.0.1:5604"


def test_where_the_fleet_has_a_page_every_shard_has_one_with_the_same_token(tmp_path: Path) -> None:
    page = {"address": "10.0.0.2:8800", "token": "correct-horse-battery", "recordings": str(tmp_path)}
    machines = [{"name": "b", "address": "10.0.0.9", "ports": 7000, "networks": ["hall"]}]
    site = load(tmp_path, outputs={"page": page}, fleet={"machines": machines})
    shard = site.shards({"door": "b.0"})["b.0"]
    assert shard.rest["outputs"]["page"] == page | {"address": "10.0.0.9:7003"}


def test_a_shard_is_a_site_that_one_process_runs(tmp_path: Path) -> None:
    parts = {"prompt": "dog", "engine": {"batch": 2}, "tracker": {"coast": 0.4}, "outputs": {"rotate": "1h"}}
    site = load(tmp_path, **parts, fleet={"machines": [{"name": "a", "networks": ["hall"]}]})
    shards = site.shards(plan(site.needs, site.rooms()).placed)
    path = tmp_path / "shard.yaml"
    path.write_text(json.dumps(shards["a.0"].site({"door": 3, "video0": 1})))
    made = Site.load(path)
    assert [(camera.name, camera.run) for camera in made.cameras] == [("door", 3), ("video0", 1)]
    assert made.cameras[0].source == CAMERAS[0]["source"] and made.cameras[1].fps == 10
    assert (made.prompt, made.engine.batch, made.tracker) == ("dog", 2, {"coast": 0.4})
    assert made.outputs.rotate and made.outputs.page is None
    path.write_text(json.dumps(shards["a.0"].site({"door": 3})))  # the other's lease is another's
    assert [camera.name for camera in Site.load(path).cameras] == ["door"]


def test_a_prompt_as_a_list_and_empty_headings_reach_the_shards_as_what_they_mean(tmp_path: Path) -> None:
    site = load(tmp_path, prompt=["person", "hand"], outputs=None, engine=None)
    (shard,) = site.shards({"door": "here.0", "video0": "here.0"}).values()
    assert shard.prompt == "person, hand" and "engine" not in shard.rest
    (tmp_path / "shard.yaml").write_text(json.dumps(shard.site({"door": 0, "video0": 0})))
    assert Site.load(tmp_path / "shard.yaml").prompt == "person, hand"


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"outputs": {"publish": "tcp://127.0.0.1:5555"}}, "outputs.publish is of one process"),
        ({"outputs": {"record": "t.parquet"}}, r"outputs.record needs \{camera\}"),
        ({"fleet": {"machines": [{"name": "a"}, {"name": "a"}]}}, "fleet: machines need different names"),
        ({"fleet": {"machines": [{"name": "a"}, {"name": "b"}]}}, "a and b have one address and both port 5600"),
        ({"fleet": {"machines": [{"name": "a", "ports": 65530, "shards": 3}]}}, "3 shards need 12 ports"),
        (
            {"outputs": {"page": "127.0.0.1:8800"}, "fleet": {"machines": [{"name": "a", "address": "10.0.0.9"}]}},
            "outputs.page needs a token, as others reach 10.0.0.9",
        ),
        ({"outputs": {"page": ":8800"}}, "outputs.page needs a token, as others reach 0.0.0.0"),
        ({"fleet": {"machines": [{"name": "a", "speed": 3}]}}, "speed: is not known; there are: name, address"),
        ({"fleet": {"where": 1}}, "where: is not known; there are: machines, directory"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(parts: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=told) as error:
        load(tmp_path, **parts)
    assert "s3cret" not in str(error.value)


def test_what_is_of_a_fleet_alone_is_refused_by_a_run_of_one_process(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.raises(SiteError, match=r"cameras\[0\].rate: is not known"):
        Site.load(tmp_path / "site.yaml")
