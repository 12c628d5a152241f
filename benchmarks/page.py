"""What the live page costs and how late it is: `python -m benchmarks.page [--rounds N] [--seconds S] [--only NAME …]`.

newcomer: `run configs/demo/company.mp4 --realtime`; s from opening the page, as soon as its address is printed,
until a second frame with tracks on it is painted.

glass: from a frame's arrival in the process to its being drawn into the page's canvas, as the browser measures
it (its clock against the server's by the fastest of several round trips), at 640x480@30, with xpose-nano and with the
default weights. The next refresh of the screen comes on top.

suspended: a page whose process in the browser is stopped (SIGSTOP) for 20 s and goes on; then all pages are closed. The
memory is that of the process of `run`; what it grows by meanwhile stands beside the same time with a page awake.

cost: four cameras 640x480@15; the same seconds without page, with one that nobody looks at, and with one that is open,
one after the other, round after round, so that all meet the same machine. CPU is that of the process of `run` alone.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import psutil
import yaml
from playwright.sync_api import Browser, Page, sync_playwright

from xpose_stream.engines import DEFAULT, NANO

ROOT = Path(__file__).parents[1]
CLIPS = [ROOT / "configs" / "demo" / name for name in ("crossing.mp4", "company.mp4")]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
TRACKED = """document.addEventListener("painted", ({detail}) => {
  if (detail.message.tracks.length) (window.tracked ??= []).push(detail.message.frame); })"""
COUNT = """() => document.addEventListener("painted", ({detail}) => (window.ages ??= []).push(detail.age))"""


class Run:
    """`run` in a process of its own, with its page at `url` if it has one."""

    def __init__(self, site: Path, *options: str) -> None:
        command = [sys.executable, str(ROOT / "run_stream.py"), "run", *options]
        self._process = subprocess.Popen(
            [*command, "--site", str(site)] if site.suffix == ".yaml" else [*command, str(site), "--realtime"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.seen = psutil.Process(self._process.pid)
        self.url = ""

    def wait_for_page(self) -> None:
        """Until the address is printed."""
        assert self._process.stderr
        while not self.url:
            line = self._process.stderr.readline()
            assert line, "it ended before it had a page"
            self.url = line.partition("live page: ")[2].strip()

    def cpu(self) -> float:
        """s so far."""
        times = self.seen.cpu_times()
        return times.user + times.system

    def memory(self) -> float:
        """MB."""
        return self.seen.memory_info().rss / 1e6

    def published(self, metrics: str) -> float:
        """Frames of all cameras so far, as the run's metrics tell."""
        with urllib.request.urlopen(f"http://{metrics}/metrics") as answer:
            rows = [row.split() for row in answer.read().decode().splitlines()]
        return sum(float(row[-1]) for row in rows if row and row[0].startswith("xpose_frames_published_total{"))

    def lines(self) -> list[dict[str, Any]]:
        """End it and read what it told."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()]


def looking(page: Page, run: Run) -> None:
    """Open the page and wait for its first picture."""
    page.goto(run.url)
    page.wait_for_selector("canvas[data-frame]", timeout=120_000)


def newcomer(browser: Browser) -> None:
    """Print how long somebody waits for moving pictures with tracks."""
    begun = time.monotonic()
    run = Run(CLIPS[1], "--page", "127.0.0.1:0")
    run.wait_for_page()
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(TRACKED)
    opened = time.monotonic()
    page.goto(run.url, wait_until="commit")
    page.wait_for_function("() => window.tracked?.length > 1", polling=20, timeout=120_000)
    seen = time.monotonic()
    print(f"newcomer: moving pictures with tracks {seen - opened:.1f} s after opening the page, {seen - begun:.1f} s "
          "after the command", flush=True)  # fmt: skip
    run.lines()
    page.close()


def glass(browser: Browser, seconds: float, weights: Path) -> None:
    """Print the ages of painted frames."""
    run = Run(CLIPS[0], "--page", "127.0.0.1:0", "--weights", str(weights))
    run.wait_for_page()
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    looking(page, run)
    page.wait_for_timeout(3000)
    page.evaluate(COUNT)
    page.wait_for_timeout(min(seconds, 18.0) * 1000)
    ages = sorted(page.evaluate("() => ages"))
    told = ", ".join(f"p{share} {ages[int(len(ages) * share / 100)] * 1e3:.1f} ms" for share in (50, 95, 99))
    total = run.lines()[-1]["cameras"]["crossing"]["latency_ms"]["total"]
    print(f"glass to glass with {weights.stem}, {len(ages)} frames: {told}; of it the pipeline: {total}", flush=True)
    page.close()


def suspended(browser: Browser, seconds: float) -> None:
    """Print what a page of a live stream does that was stopped for a while."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(four(Path(folder), {"page": "127.0.0.1:0"}, cameras=1))
        run.wait_for_page()
        time.sleep(8)
        alone = run.memory()
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        looking(page, run)
        page.wait_for_timeout(8000)
        page.evaluate(COUNT)
        mine = [one for one in psutil.Process().children(recursive=True) if "--type=renderer" in one.cmdline()]
        awake = run.memory()
        page.wait_for_timeout(seconds * 1000)
        before = run.memory()
        for one in mine:
            one.suspend()
        time.sleep(seconds)
        after = run.memory()
        for one in mine:
            one.resume()
        resumed = time.time()
        fresh = page.evaluate(
            """async () => { const last = () => window.ages?.at(-1); while (true) { const age = last();
            await new Promise((next) => setTimeout(next, 5));
            if (last() !== age && last() < 0.5) return Date.now() / 1000; } }"""
        )
        page.close()
        time.sleep(3)
        left = run.memory()
        print(f"suspended for {seconds:g} s: a fresh frame {fresh - resumed:.2f} s after; memory {alone:.0f} MB before "
              f"anybody looked, {before:.0f} with a page, {before - awake:+.1f} awake as long, {after - before:+.1f} "
              f"while it slept, {left:.0f} after",
              flush=True)  # fmt: skip
        run.lines()


def four(folder: Path, outputs: dict[str, Any], cameras: int = 4) -> Path:
    """A site of four cameras, 640x480@15, that are files played in real time."""
    path = folder / "site.yaml"
    clips = [folder / f"{number}.mp4" for number in range(cameras)]
    for number, clip in enumerate(clips):
        if not clip.exists():
            transcode(CLIPS[number % 2], clip)
    site = {"cameras": [{"source": str(clip), "realtime": True} for clip in clips], "outputs": outputs}
    path.write_text(yaml.safe_dump(site))
    return path


def free_port() -> int:
    """A TCP port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def transcode(clip: Path, out: Path) -> None:
    """`clip` at 15 frames/s, ten times in a row, as H.264."""
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=15, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        number = 0
        for _turn in range(10):
            with av.open(str(clip)) as source:
                for index, frame in enumerate(source.decode(video=0)):
                    if index % 2 == 0:
                        frame.pts, frame.time_base, number = number, Fraction(1, 15), number + 1
                        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def cost(browser: Browser, rounds: int, seconds: float) -> None:
    """Print what is published and what a frame costs, in the three cases."""
    metrics = f"127.0.0.1:{free_port()}"
    nobody = {"page": "127.0.0.1:0", "metrics": metrics}
    kinds: dict[str, dict[str, Any]] = {"no page": {**nobody, "page": False}, "nobody": nobody, "open": nobody}
    told: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for kind, outputs in kinds.items():
                run = Run(four(Path(folder), outputs))
                page = None
                if outputs["page"]:
                    run.wait_for_page()
                if kind == "open":
                    page = browser.new_page(viewport={"width": 1280, "height": 800})
                    looking(page, run)
                time.sleep(8)
                begun, before = run.cpu(), run.published(metrics)
                time.sleep(seconds)
                used, published = run.cpu() - begun, run.published(metrics) - before
                run.lines()
                if page:
                    page.close()
                told[kind].append((published / seconds, used / published * 1e3))
                rate, each = told[kind][-1]
                print(f"round {number}, {kind}: {rate:.1f} frames/s published, {each:.2f} ms CPU each", flush=True)
    for kind, rows in told.items():
        rates, costs = zip(*rows, strict=True)
        print(f"{kind}: {statistics.median(rates):.1f} frames/s published, {statistics.median(costs):.2f} ms CPU each")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", nargs="*", default=["newcomer", "glass", "suspended", "cost"])
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        if "newcomer" in given.only:
            newcomer(browser)
        for weights in (NANO, DEFAULT) if "glass" in given.only else ():
            glass(browser, given.seconds, weights)
        if "suspended" in given.only:
            suspended(browser, 20.0)
        if "cost" in given.only:
            cost(browser, given.rounds, given.seconds)
        browser.close()


if __name__ == "__main__":
    main()
