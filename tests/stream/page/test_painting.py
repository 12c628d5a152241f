"""What is drawn belongs to the picture under it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.stream.page.numbered import BITS, SIDE

# Reads, in the same task in which a frame was painted, the number in the canvas' pixels.
WATCH = f"""() => {{
  window.seen = [];
  document.addEventListener("painted", ({{detail}}) => {{
    const canvas = document.querySelector(".tile canvas");
    const scale = canvas.width / detail.message.width;
    const strip = canvas.getContext("2d").getImageData(0, Math.round(10 * scale), canvas.width, 1).data;
    let number = 0;
    for (let bit = 0; bit < {BITS}; bit++) {{
      const value = (i) => strip[4 * Math.round(({SIDE} * i + {SIDE} / 2) * scale)];
      const [up, down] = [value(2 * bit) > 128, value(2 * bit + 1) > 128];
      if (up === down) number = NaN;
      if (up) number += 2 ** bit;
    }}
    seen.push([detail.message.frame, number, detail.message.tracks.length]);
  }});
}}"""


def watched(page: Page, url: str, frames: int) -> list[list[Any]]:
    """Numbers in the message and in the pixels of so many painted frames."""
    page.goto(url)
    page.keyboard.press("n")  # names would be written over the number
    page.evaluate(WATCH)
    while page.evaluate("() => seen.length") < frames:
        page.wait_for_timeout(200)
    return page.evaluate("() => seen")


def test_the_number_in_the_pixels_is_that_of_the_message_every_time(page: Page, live: Callable, numbered: Path) -> None:
    with live({"numbered": str(numbered)}, pause=1 / 60) as running:
        seen = watched(page, running.url, 500)
    assert all(painted == told for told, painted, _ in seen) and len(seen) >= 500
    assert all(tracks for *_, tracks in seen[20:]), "and tracks are drawn on it"


def test_also_where_every_tenth_packet_is_late(page: Page, live: Callable, numbered: Path) -> None:
    with live({"numbered": str(numbered)}, pause=1 / 60) as running, late(running.server.port) as port:
        seen = watched(page, f"http://127.0.0.1:{port}/", 500)
    assert all(painted == told for told, painted, _ in seen) and len(seen) >= 500


@contextlib.contextmanager
def late(target: int) -> Iterator[int]:
    """A port that passes everything on to `target` and back, every tenth packet 20 to 120 ms late."""
    chance = random.Random(0)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1460):
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.uniform(0.02, 0.12))
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(connected, "127.0.0.1", 0), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        loop.call_soon_threadsafe(lambda: loop.call_soon(loop.stop))
        thread.join()
