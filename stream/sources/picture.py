"""Pictures that FFmpeg takes for something else: told instead of shown in part."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path

import cv2

HEIC = {".heic", ".heif"}
_BRANDS = {b"heic", b"heix", b"heim", b"heis"}
_SCAN = 0xDA  # the mark of a JPEG behind which its pixels are
_MOST_BOXES = 1000  # of an MP4 that are looked at
_ANIMATED = 0x02  # of a WebP's flags

log = logging.getLogger(__name__)


def unread(path: str | Path) -> str:
    """Why a picture is not read, as the rest of a sentence that begins with its name; "" for all others."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError:
        return ""
    if not head:
        return "is empty: not a byte is in it"
    if head[4:8] == b"ftyp" and (head[8:12] in _BRANDS or (head[8:12] == b"mif1" and _BRANDS & _compatible(head))):
        # It consists of tiles, and FFmpeg would show one of them.
        return (
            "is a HEIC photograph, which is not read: make a JPEG of it (`heif-convert`), or set the phone's camera to "
            "'Most Compatible'"
        )
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & _ANIMATED:
        return "is an animated WebP, which is not read: make a GIF or a video of it (`magick x.webp x.gif`)"
    return ""


def pages(path: str | Path) -> int:
    """How many pictures a TIFF has, such as a microscope's stack; 1 for everything else."""
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        return 1
    try:
        return max(cv2.imcount(str(path)), 1)
    except (cv2.error, UnicodeError):
        return 1


def cut_short(path: str | Path) -> bool:
    """Whether a JPEG lacks its end, for which FFmpeg shows plain colour."""
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"\xff\xd8":
                return False
            while (mark := file.read(4))[:1] == b"\xff" and len(mark) == 4:
                if mark[1] == _SCAN:
                    return b"\xff\xd9" not in file.read()
                file.seek(int.from_bytes(mark[2:], "big") - 2, os.SEEK_CUR)
    except OSError:
        pass
    return False


def without_index(path: str) -> bool:
    """Whether this is an MP4 or MOV whose index was to come at its end and never did."""
    place = 0
    kinds: list[bytes] = []
    try:
        with open(path, "rb") as file:
            end = os.fstat(file.fileno()).st_size
            while place < end and len(head := file.read(16)) == 16 and len(kinds) < _MOST_BOXES:
                size, kind = int.from_bytes(head[:4], "big"), head[4:8]
                kinds.append(kind)
                place += max(int.from_bytes(head[8:], "big") if size == 1 else size, 8)
                if size == 0:
                    break
                file.seek(min(place, end))
    except OSError:
        return False
    looked_at_all = len(kinds) < _MOST_BOXES
    return looked_at_all and kinds[:1] == [b"ftyp"] and b"mdat" in kinds and b"moov" not in kinds


@cache
def tell(sentence: str) -> None:
    """Log it once, however often its source is opened."""
    log.warning("%s", sentence)


def _compatible(head: bytes) -> set[bytes]:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[at : at + 4] for at in range(16, end, 4)}
