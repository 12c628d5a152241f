"""What deploy/ has is accepted by what reads it, and speaks of what this program has."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stream.spot import SpotEngine, write_spot_clip
from tests.stream.test_session import free_port
from xpose_stream.stream.session import Session
from xpose_stream.stream.site import Site

DEPLOY = Path(__file__).parents[1] / "deploy"
STEPS = {"bucket", "count", "sum"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run answers at its three addresses, after a second of it."""
    found: dict[str, str] = {}
    folder = tmp_path_factory.mktemp("pages")
    metrics, clip = f"127.0.0.1:{free_port()}", str(write_spot_clip(folder / "door.mp4", 2))

    def ask(frame: Any, message: Any) -> None:
        if message.sequence == 20:
            for path in ("metrics", "health", "ready"):
                found[path] = urllib.request.urlopen(f"http://{metrics}/{path}").read().decode()

    site = Site.of(clip, metrics=metrics, record=str(folder / "t.parquet"))
    Session(site, engine=SpotEngine()).run(ask)
    return found


def test_every_metric_of_the_dashboard_is_one_that_is_served(pages: dict[str, str]) -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "xpose-stream.json").read_text())
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    names = {name for expression in asked for name in re.findall(r"xpose_\w+", expression)}
    served = set(re.findall(r"^# TYPE (\w+) ", pages["metrics"], re.M))
    assert len(names) > 10 and names <= served | {f"{name}_bucket" for name in served}
    labels = set(re.findall(r"(\w+)=~?\"", " ".join(asked))) - {"camera"}
    assert all(f'{label}="' in pages["metrics"] for label in labels)


def test_a_run_says_that_it_is_alive_and_ready_and_how_its_cameras_are(pages: dict[str, str]) -> None:
    for path in ("health", "ready"):
        assert json.loads(pages[path]) == {"ok": True, "cameras": {"door": "playing"}}


def test_a_run_tells_systemd_that_it_is_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(door)
        monkeypatch.setenv("NOTIFY_SOCKET", door)
        Session(Site.of(str(write_spot_clip(tmp_path / "door.mp4", 3)), realtime=True), engine=SpotEngine()).run()
        systemd.setblocking(False)
        told = list(all_of(systemd))
    assert told[0] == "READY=1\nWATCHDOG=1" and told[-1] == "STOPPING=1" and told.count("WATCHDOG=1") >= 1


def all_of(door: socket.socket) -> Iterator[str]:
    while True:
        try:
            yield door.recv(1000).decode()
        except BlockingIOError:
            return


@pytest.mark.parametrize("unit", sorted(path.name for path in DEPLOY.glob("*.service")))
def test_systemd_understands_its_units(unit: str, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd here")
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", (DEPLOY / unit).read_text(), flags=re.M)
    (tmp_path / unit).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)], capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_containers_and_scrapers_read_what_they_are_given() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    stream = compose["services"]["stream"]
    assert stream["read_only"] and stream["user"] == "10001:10001" and stream["cap_drop"] == ["ALL"]
    mounted = [each.split(":")[0] for each in [*stream["volumes"], *compose["services"]["grafana"]["volumes"]]]
    assert all((DEPLOY / path).exists() for path in mounted if path != "../data")
    assert (DEPLOY / stream["build"]["dockerfile"].removeprefix("deploy/")).exists()
    assert len(yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]) == 2
    assert os.access(DEPLOY / "build.sh", os.R_OK)


def test_the_container_is_built_with_extras_that_there_are_and_without_what_was_built_here() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    there = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extras in re.findall(r"EXTRAS=([\w,]+)", text):
        assert set(extras.split(",")) <= there.keys()
    assert {".git", ".venv"} <= set((DEPLOY.parent / ".dockerignore").read_text().split())
