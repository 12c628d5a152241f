"""What pages ask of recordings, those of one folder: one thing at a time, beside the stream."""

from __future__ import annotations

import asyncio
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from av.video.reformatter import VideoReformatter

from xpose_stream.error import UserError
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.page import orders
from xpose_stream.stream.page.exporter import Exporter
from xpose_stream.stream.page.film import overlay_of
from xpose_stream.stream.page.jpeg import QUALITY, encode, picture
from xpose_stream.stream.page.played import Played
from xpose_stream.stream.page.takes import Kinds, Takes
from xpose_stream.stream.recordings.export.formats import FORMATS
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sources.frame import Frame

_LISTED = 500  # newest recordings
_OPEN = 2  # recordings that are kept open
_PART = 1 << 18  # bytes

Result = TypeVar("Result")


class Library:
    """The recordings of `folder`; pages name them as they are listed here, and nothing else is found.

    kinds  see Takes.
    """

    def __init__(self, folder: Path, cameras: Mapping[str, Camera], kinds: Kinds) -> None:
        self.folder = folder
        self.takes = Takes(folder, cameras, kinds)
        self.exporter = Exporter()
        self._open: dict[tuple[str, str], Played] = {}
        self._scaler = VideoReformatter()
        self._thread = ThreadPoolExecutor(1, "page library")

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Have it done in the library's thread; what it raises is raised here."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def told(self) -> dict[str, Any]:
        """What every page is told once a second."""
        return {"take": self.takes.told(), "export": self.exporter.told()}

    def listed(self) -> list[dict[str, Any]]:
        """The recordings, newest first."""
        found = [(path, path.stat()) for path in self._paths().values()]
        found = sorted(found, key=lambda each: each[1].st_mtime, reverse=True)[:_LISTED]
        return [
            {"name": path.name, "bytes": stat.st_size, "at": stat.st_mtime, "video": overlay_of(path)}
            for path, stat in found
        ]

    def show(self, order: orders.Open) -> dict[str, Any]:
        """What a page needs to look at one. Raises UserError."""
        path = self._find(order.recording)
        made = [name for name in FORMATS if _export_of(path, name).exists()]
        return self._played(path, order.camera).told() | {"made": made}

    def moment(self, order: orders.Moment) -> tuple[dict[str, Any], TracksMessage, bytes]:
        """One of its frames: its place and time, its message and its JPEG, b"" without a picture. Raises UserError."""
        played = self._played(self._find(order.recording), order.camera)
        at, seconds, message, shown = played.moment(order.time, order.step)
        jpeg = b""
        if shown is not None:
            jpeg = encode(picture(Frame.still(shown), min(order.width, shown.width), self._scaler), QUALITY)
        return {"at": at, "seconds": seconds}, message, jpeg

    def curve(self, order: orders.Curve) -> dict[str, Any]:
        """What a keypoint did. Raises UserError."""
        played = self._played(self._find(order.recording), order.camera)
        return played.curve(order.track, order.keypoint, order.begin, order.end)

    def export(self, order: orders.Export) -> dict[str, Any]:
        """Begin to write it in another format. Raises UserError."""
        if order.format not in FORMATS:
            raise UserError(f"there is no format {order.format!r}.")
        path = self._find(order.recording)
        video = None
        if order.format == "mp4":
            film = self._played(path, "").film
            if film is None:
                raise UserError("mp4 is drawn on the video that was recorded, which is not on this machine.")
            video = film.path
        self.exporter.start(path, order.format, video, order.metres_per_pixel)
        return {}

    def files(self, name: str, form: str) -> list[Path]:
        """A recording (`form` "parquet") or an export of it, with what belongs to it, as far as it is there."""
        path = self._paths().get(name)
        if path is None or (form != "parquet" and form not in FORMATS):
            return []
        found = path if form == "parquet" else _export_of(path, form)
        beside = FORMATS[form].beside if form in FORMATS else None
        second = [found.with_name(found.name + beside)] if beside else []
        return [each for each in (found, *second) if each.exists()] if found.exists() else []

    def forget(self) -> None:
        """Nobody looks any more."""
        self._thread.submit(self._close_all)

    def close(self) -> None:
        """Do no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.exporter.close()

    def _paths(self) -> dict[str, Path]:
        """All recordings by name."""
        try:
            entries = list(os.scandir(self.folder))
        except OSError:
            return {}
        return {one.name: Path(one.path) for one in entries if one.name.endswith(".parquet") and one.is_file()}

    def _find(self, name: str) -> Path:
        path = self._paths().get(name)
        if path is None:
            raise UserError("There is no recording of that name; look at the list again.")
        return path

    def _played(self, path: Path, camera: str) -> Played:
        key = path.name, camera
        if key not in self._open:
            while len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[key] = Played(path, camera)
        self._open[key] = self._open.pop(key)  # the latest is last
        return self._open[key]

    def _close_all(self) -> None:
        for played in self._open.values():
            played.close()
        self._open.clear()


def _export_of(path: Path, form: str) -> Path:
    return path.with_suffix(FORMATS[form].suffix.rstrip("/"))


def zipped(paths: list[Path]) -> Iterator[bytes]:
    """Files and folders of one folder as a ZIP file, in parts, as they are read."""
    out = _Parts()
    with zipfile.ZipFile(cast(IO[bytes], out), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for each in paths for path in (each, *each.rglob("*"))):
            if not path.is_file() or path.is_symlink():
                continue
            with path.open("rb") as file, archive.open(str(path.relative_to(paths[0].parent)), "w") as entry:
                while part := file.read(_PART):
                    entry.write(part)
                    yield out.taken()
    yield out.taken()


class _Parts:
    """A file that cannot be read back or sought."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep it until it is taken."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """See io.RawIOBase."""

    def taken(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
