"""Which of the videos in a container is meant."""

from __future__ import annotations

import av
from av.container import InputContainer

_Flag = av.stream.Disposition
_PICTURES = _Flag.attached_pic | _Flag.timed_thumbnails | _Flag.still_image
# Codecs of single pictures: beside a video they are its cover, thumbnail or slides.
_STILLS = {"mjpeg", "png", "bmp", "gif", "tiff", "webp", "jpeg2000", "ppm"}


def chosen(container: InputContainer, wanted: int | None) -> av.VideoStream:
    """The best video: the largest that is neither a cover nor a thumbnail; or the one `wanted`, counted from 0 as in
    `ffmpeg -map 0:v:0`.

    Raises ValueError with the rest of a sentence about what is wrong with the container.
    """
    videos = container.streams.video
    if wanted is not None:
        if wanted >= len(videos):
            raise ValueError(f"has no video {wanted}; there are {', '.join(described(container)) or 'none'}")
        found = [videos[wanted]]
    else:
        found = [stream for stream in videos if is_video(stream)]
    if not found or container.format.name == "tty":  # FFmpeg takes any .txt for a film of a terminal
        raise ValueError("contains no video")
    best = max(found, key=_worth)
    if best.codec_context is None:
        raise ValueError("contains a video of a kind that cannot be decoded")
    for stream in container.streams:
        if stream.index != best.index:
            stream.discard = av.stream.Discard.all
    return best


def described(container: InputContainer) -> tuple[str, ...]:
    """Number, codec and size of every video."""
    return tuple(
        f"{number}: {context.name if (context := stream.codec_context) else 'unknown codec'} "
        f"{stream.width}x{stream.height}{'' if is_video(stream) else ' (a picture)'}"
        for number, stream in enumerate(container.streams.video)
    )


def is_video(stream: av.VideoStream) -> bool:
    """The cover picture of a piece of music is a video stream, but no video."""
    return not stream.disposition & _PICTURES


def _worth(stream: av.VideoStream) -> tuple[bool, bool, int, bool]:
    context = stream.codec_context
    if context is None:
        return False, False, 0, False
    moves = stream.frames != 1 and context.name not in _STILLS
    return True, moves, stream.width * stream.height, bool(stream.disposition & _Flag.default)
