"""One page that is open: the frames that it gets, and what it asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from xpose_stream.engines import PromptError
from xpose_stream.error import UserError
from xpose_stream.stream.page import orders
from xpose_stream.stream.page.desk import Desk
from xpose_stream.stream.page.hub import SPARING, Hub
from xpose_stream.stream.page.jpeg import Encoder
from xpose_stream.stream.page.library import Library
from xpose_stream.stream.page.orders import Order
from xpose_stream.stream.page.ring import Seen
from xpose_stream.stream.sources.frame import Frame

MOST_UNDER_WAY = 2  # frames that are sent and not acknowledged
_STRIP, _STRIP_PX = 10, 160  # frames that are held beside a frozen one, and how wide they are shown
_RATE, _BURST = 50.0, 200.0  # orders per s that are not acknowledgements of a frame
_PATIENCE = 20  # wrong orders until the connection is closed
_TOO_MUCH = 1008

_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode
log = logging.getLogger(__name__)


class _Enough(Exception):
    """This page is to go; the reason is told to it."""


class Client:
    """Serves one WebSocket.

    A binary message is `u32 n, n bytes of msgpack, JPEG`; the msgpack has a `kind`: "frame", with the `message` of
    docs/messages.md and `arrived_at` (Unix s at which the frame was ready in this process), "held" with `camera` and
    `frame`, or "moment" of a recording, whose JPEG is empty where there is no video. A text message is JSON with a
    `type`. Frames that are newest win; at most two are under way.
    """

    def __init__(
        self, socket: WebSocket, hub: Hub, encoder: Encoder, desk: Desk | None, library: Library | None
    ) -> None:
        self._socket, self._hub, self._encoder, self._desk = socket, hub, encoder, desk
        self._library = library
        self._sending = asyncio.Lock()
        self._widths: dict[str, int] = {}
        self._under_way: list[tuple[str, int]] = []
        self._sent: dict[str, Seen] = {}
        self._turns: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._held: dict[tuple[str, int], Seen] = {}
        self._strip: list[tuple[str, int]] = []
        self._work: asyncio.Task[None] | None = None
        self._hints: asyncio.Task[None] | None = None
        self._allowance, self._counted = _BURST, time.monotonic()
        self._wrong = 0

    async def serve(self, hello: dict[str, Any]) -> None:
        """Until the page goes or is sent away."""
        frames = asyncio.create_task(self._frames())
        try:
            await self.tell(hello)
            await self._listen()
        except _Enough as enough:
            with contextlib.suppress(Exception):
                await self._socket.close(_TOO_MUCH, str(enough))
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: it went while something was being sent
            pass
        finally:
            frames.cancel()
            for task in (self._work, self._hints):
                if task:
                    task.cancel()

    async def tell(self, what: dict[str, Any]) -> None:
        """Send it something that is no frame; one that is gone is nobody's mistake."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            async with self._sending:
                if self._socket.client_state is WebSocketState.CONNECTED:
                    await self._socket.send_text(_json(what).decode())

    def hint(self, *what: dict[str, Any]) -> None:
        """Tell it without waiting; a page that does not take what it was told before is not told."""
        if self._hints is None or self._hints.done():
            self._hints = asyncio.create_task(self._tell_all(what))

    async def _tell_all(self, what: Sequence[dict[str, Any]]) -> None:
        for one in what:
            await self.tell(one)

    async def _send(self, header: dict[str, Any], jpeg: bytes) -> None:
        head = _pack(header)
        async with self._sending:
            await self._socket.send_bytes(struct.pack("<I", len(head)) + head + jpeg)

    async def _frames(self) -> None:
        """Send the newest frames, camera by camera, while the page keeps up."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                self._changed.clear()
                if not self._widths:
                    await self._changed.wait()
                    continue
                with self._hub.look() as self._changed:
                    while self._widths:
                        self._changed.clear()
                        while (seen := self._next()) is not None:
                            await self._send_frame(seen)
                            if self._hub.behind:
                                await asyncio.sleep(SPARING)
                        await self._changed.wait()

    def _next(self) -> Seen | None:
        """The newest frame of the camera that has waited longest, if it may be sent now."""
        if len(self._under_way) >= MOST_UNDER_WAY:
            return None
        new = [
            camera
            for camera in self._widths
            if (seen := self._hub.latest.get(camera)) is not None and seen is not self._sent.get(camera)
        ]
        if not new:
            return None
        camera = min(new, key=lambda name: self._turns.get(name, 0.0))
        return self._hub.latest[camera]

    async def _send_frame(self, seen: Seen) -> None:
        frame = seen.frame
        self._sent[frame.camera], self._turns[frame.camera] = seen, time.monotonic()
        self._under_way.append((frame.camera, frame.index))
        jpeg = await self._encoder(seen, self._widths.get(frame.camera, 1))
        arrived = time.time() - (time.monotonic() - frame.arrived)
        await self._send({"kind": "frame", "arrived_at": arrived, "message": seen.payload}, jpeg)

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("text") or message.get("bytes") or b""
            try:
                order = orders.read(data)
                self._do(order)
            except ValueError as error:
                self._count()
                self._wrong += 1
                if self._wrong > _PATIENCE:
                    raise _Enough("too many messages that are no orders") from None
                await self.tell({"type": "error", "error": str(error)[:500]})

    def _do(self, order: Order) -> None:
        match order:
            case orders.Arrived(camera=camera, frame=frame):
                if (camera, frame) not in self._under_way:
                    raise ValueError("no such frame is under way")
                self._under_way.remove((camera, frame))
                self._changed.set()
                return
            case orders.Watch(cameras=cameras):
                self._count()
                self._widths = cameras
                self._sent = {name: seen for name, seen in self._sent.items() if name in cameras}
                self._changed.set()
            case orders.Ping(at=at):
                self._count()
                self._begin_quick({"type": "pong", "at": at, "time": time.time()})
            case orders.Thaw():
                self._count()
                self._held, self._strip = {}, []
            case _:
                self._count()
                if self._work and not self._work.done():
                    self._begin_quick({"type": "answer", "id": order.id, "error": "Wait for what is being done."})
                else:
                    self._work = asyncio.create_task(self._answer(order))

    def _begin_quick(self, what: dict[str, Any]) -> None:
        task = asyncio.create_task(self.tell(what))
        self._quick = task  # a task that nobody holds may vanish

    def _count(self) -> None:
        """One more order; raises _Enough when they are too many."""
        now = time.monotonic()
        self._allowance = min(_BURST, self._allowance + (now - self._counted) * _RATE) - 1
        self._counted = now
        if self._allowance < 0:
            raise _Enough("too many orders at once")

    async def _answer(self, order: Any) -> None:
        """Tell the page what came of its order; a defect is told and shows its traceback, and the page goes on."""
        try:
            return await self.tell({"type": "answer", "id": order.id, **await self._done(order)})
        except UserError as error:
            told = str(error)
        except Exception as error:
            log.exception("the page's order '%s' failed", order.__struct_config__.tag)
            told = f"This failed ({type(error).__name__}); the program's log says where."
        await self.tell({"type": "answer", "id": order.id, "error": told})

    async def _done(self, order: Any) -> dict[str, Any]:
        match order:
            case orders.Freeze():
                return await self._freeze(order)
            case orders.Picture(camera=camera, frame=frame):
                await self._show(self._find(camera, frame))
                return {}
            case orders.Ask() | orders.Again() | orders.Try() | orders.Use() | orders.Save():
                if self._desk is None:
                    raise UserError("There is no stream here, only recordings.")
                return await self._asked(self._desk, order)
            case _:
                return await self._recorded(order)

    async def _asked(self, desk: Desk, order: Any) -> dict[str, Any]:
        """What is asked of prompts."""
        match order:
            case orders.Ask(prompt=prompt):
                return await desk.do(desk.ask, prompt)
            case orders.Again(version=version):
                return await desk.do(desk.again, version)
            case orders.Try(prompt=prompt):
                return await self._try(desk, prompt)
            case orders.Use(prompt=prompt):
                return await desk.do(desk.use, prompt, self._frame)
            case _:
                return await desk.do(desk.save, order.prompt, self._frame)

    async def _recorded(self, order: Any) -> dict[str, Any]:
        """What is asked of recordings."""
        library = self._library
        if library is None:
            raise UserError("There is no folder of recordings; start the program with --recordings FOLDER.")
        match order:
            case orders.Record(video=video):
                return await library.do(library.takes.start, video)
            case orders.Stop():
                return await library.do(library.takes.stop)
            case orders.Recordings():
                return {"recordings": await library.do(library.listed)}
            case orders.Open():
                return await library.do(library.show, order)
            case orders.Moment():
                place, message, jpeg = await library.do(library.moment, order)
                header = {"kind": "moment", "recording": order.recording, "message": message, "blank": not jpeg}
                await self._send(header | place, jpeg)
                return place
            case orders.Curve():
                return await library.do(library.curve, order)
            case _:
                return await library.do(library.export, order)

    async def _freeze(self, order: orders.Freeze) -> dict[str, Any]:
        """Hold the frame and a strip of those around it; answer with their numbers, then send the pictures."""
        seen = self._hub.ring.find(order.camera, order.frame) or self._held.get((order.camera, order.frame))
        if seen is None:
            raise PromptError("This frame is gone; freeze a newer one.")
        strip = self._hub.ring.strip(order.camera, _STRIP)
        strip = sorted({one.frame.index: one for one in [*strip, seen]}.values(), key=lambda one: one.frame.index)
        kept = [self._held[key] for key in order.keep if key in self._held]
        self._held = {(one.frame.camera, one.frame.index): one for one in [*kept, *strip]}
        self._strip = [(one.frame.camera, one.frame.index) for one in strip]
        await self._show(seen)
        for one in strip:
            await self._show(one, _STRIP_PX)
        return {
            "camera": order.camera,
            "frame": seen.frame.index,
            "width": seen.frame.width,
            "height": seen.frame.height,
            "strip": [{"frame": one.frame.index, "ago": seen.frame.arrived - one.frame.arrived} for one in strip],
        }

    async def _show(self, seen: Seen, width: int | None = None) -> None:
        jpeg = await self._encoder.fine(seen, width)
        frame = seen.frame
        header = {"kind": "held", "camera": frame.camera, "frame": frame.index, "small": width is not None}
        await self._send(header | {"width": frame.width, "height": frame.height}, jpeg)

    async def _try(self, desk: Desk, prompt: orders.Clicked) -> dict[str, Any]:
        """Tell what is found frame by frame: first where it was shown, then on the strip."""
        first = [(marks.camera, marks.frame) for marks in prompt.examples]
        frames = [self._frame(*key) for key in dict.fromkeys([*first, *self._strip])]
        found = iter(await desk.do(desk.try_, prompt, self._frame, frames))
        count = 0
        while (message := await desk.do(next, found, None)) is not None:
            count += len(message.tracks)
            await self.tell({"type": "found", "message": message})
        return {"found": count, "frames": len(frames)}

    def _find(self, camera: str, frame: int) -> Seen:
        if (seen := self._held.get((camera, frame))) is None:
            raise PromptError("This frame is not held any more; freeze another one.")
        return seen

    def _frame(self, camera: str, frame: int) -> Frame:
        return self._find(camera, frame).frame
