"""The video that a recording was made of: its pictures in any order."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import av

from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sources import SourceError
from xpose_stream.stream.sources.address import scheme
from xpose_stream.stream.sources.folder import ImageFolder
from xpose_stream.stream.sources.hls import is_playlist
from xpose_stream.stream.sources.place import is_image, located
from xpose_stream.stream.sources.video import Video

_AHEAD = 2.0  # s that are decoded on to a picture; for one farther off a key frame is looked for
_BACK = (0.0, 5.0, 30.0, float("inf"))  # s before a picture at which its key frame is looked for, one after the other
_SAME = 1e-3  # s by which times that are the same may differ


class Film:
    """A video file, or a folder of images, whose picture is asked for by its message.

    kind  "source": what was recorded, by the media times of its frames; "overlay": an MP4 that was made with the
          recording, by their times since the first.

    Raises SourceError when it cannot be opened or read.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        self._video = None if path.is_dir() else Video(f"file:{path}", path.name, False)
        self._pictures: Iterator[tuple[float, av.VideoFrame]] | None = None
        self._last: tuple[float, av.VideoFrame] | None = None

    @classmethod
    def of(cls, recording: Recording, sizes: list[tuple[int, int]]) -> Film | None:
        """Its source if that is a file or folder here with pictures of one of `sizes`, else its overlay, else None."""
        source = json.loads(recording.metadata.get("made", "{}")).get("source", "")
        found = [(Path(located(source)), "source")] if _is_here(source) else []
        found += [(recording.path.with_suffix(".mp4"), "overlay")] if overlay_of(recording.path) else []
        for path, kind in found:
            try:
                film = cls(path, kind)
            except SourceError:
                continue
            if film._video is None or kind == "overlay" or (film._video.width, film._video.height) in sizes:
                return film
            film.close()
        return None

    def __call__(self, message: TracksMessage, seconds: float) -> av.VideoFrame | None:
        """The picture of a message that came `seconds` after the first; None where it is missing."""
        if self._video is None:
            return self._image(message.image)
        wanted = message.pts if self.kind == "source" else seconds
        nearest = self._near(self._video, wanted)
        return nearest[1] if nearest else None

    def close(self) -> None:
        """Give the file back."""
        if self._video:
            self._video.close()

    def _image(self, name: str | None) -> av.VideoFrame | None:
        if not name or Path(name).name != name or not is_image(Path(name)) or not (self.path / name).is_file():
            return None
        return next((picture for _, picture in ImageFolder([self.path / name], name).pictures()), None)

    def _near(self, video: Video, wanted: float) -> tuple[float, av.VideoFrame] | None:
        """The picture whose time is nearest."""
        last = self._last
        if not last or not last[0] - _SAME <= wanted <= last[0] + _AHEAD:
            last = self._seek(video, wanted)
        while last and self._pictures and last[0] < wanted - _SAME:
            following = next(self._pictures, None)
            if following is None:
                break
            if following[0] > wanted and wanted - last[0] < following[0] - wanted:
                self._last = following
                return last
            last = following
        self._last = last
        return last

    def _seek(self, video: Video, wanted: float) -> tuple[float, av.VideoFrame] | None:
        """The first picture after a key frame before `wanted`, or of all."""
        first = None
        for back in _BACK:
            video.seek(wanted - back)
            self._pictures = video.pictures()
            first = next(self._pictures, None)
            if first and first[0] <= wanted + _SAME:
                break
        return first


def overlay_of(recording: Path) -> bool:
    """Whether an MP4 of the same name lies beside a recording."""
    return recording.with_suffix(".mp4").is_file()


def _is_here(source: object) -> bool:
    """Whether this is a file or folder; no camera, no address, and no list of addresses."""
    if not isinstance(source, str) or not source or scheme(source) not in (None, "file"):
        return False
    path = located(source)
    return os.path.isdir(path) or (os.path.isfile(path) and not is_playlist(path))
