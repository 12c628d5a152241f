"""Where a path leads: to a camera of this machine, a pipe, a file, a folder, or several images at once."""

from __future__ import annotations

import glob
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_V4L2 = 81  # the kernel's major number of video devices
_NOT_CAMERAS = ("/dev/shm/", "/dev/fd/", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/mqueue/")


def located(spec: str) -> str:
    """The path that is meant: 0 is the first camera, ~ the home, file:// a file."""
    if spec.lower().startswith("file://"):
        spec = unquote(spec[len("file://") :].removeprefix("localhost"), errors="surrogateescape")
    elif spec.lower().startswith("file:/") and not os.path.exists(spec):
        spec = unquote(spec[len("file:") :], errors="surrogateescape")
    if spec.isdecimal() and spec.isascii() and not os.path.exists(spec):
        return f"/dev/video{spec}"
    return os.path.expanduser(spec)


def is_device(spec: str) -> bool:
    """Whether this is a camera of this machine by whatever name: a node anywhere, a link to one, one that is away."""
    path = located(spec)
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        target = os.path.realpath(path) if os.path.islink(path) else os.path.abspath(path)
        return target.startswith("/dev/") and not target.startswith(_NOT_CAMERAS)
    return stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == _V4L2


def is_pipe(spec: str) -> bool:
    """Whether this can be read but once: "-" that is no file, a named pipe, <(…), a piped /dev/stdin."""
    try:
        mode = os.fstat(0).st_mode if spec == "-" else os.stat(located(spec)).st_mode
    except (OSError, ValueError):
        return spec == "-"
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (spec == "-" and not stat.S_ISREG(mode))


def is_file(spec: str) -> bool:
    """Whether this is a file, a folder or a pattern: what can be looked at before it is read."""
    path = located(spec)
    return os.path.isfile(path) or os.path.isdir(path) or (is_pattern(path) and bool(matches(path)))


def is_image(path: Path) -> bool:
    """Whether it is called one."""
    return path.suffix.lower() in IMAGES


def is_pattern(spec: str) -> bool:
    """Whether this stands for several files, such as frames/*.jpg."""
    return glob.has_magic(spec) and not os.path.exists(spec)


def matches(pattern: str) -> list[Path]:
    """The files that a pattern stands for; ** reaches into folders."""
    return [path for name in glob.glob(pattern, recursive=True) if (path := Path(name)).is_file()]


def natural(path: Path) -> list[int | str]:
    """For sorting: 2.png before 10.png."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path).lower())]
