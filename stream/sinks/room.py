"""A disk that has no room: the sink that writes to it pauses, and everything else goes on."""

from __future__ import annotations

import logging
import os
from pathlib import Path

_ENOUGH = 64 << 20  # bytes that must be free before writing goes on, or a twentieth of a small disk

log = logging.getLogger(__name__)


class Room:
    """What became of a sink that could not write.

    full  why nothing is written now; "" while it is.
    lost  frames that were not written for it.
    """

    def __init__(self) -> None:
        self.full = ""
        self.lost = 0

    def enough(self, path: Path) -> bool:
        """Whether it is worth a try: always, until writing has failed, and then when there is some room again."""
        if not self.full:
            return True
        try:
            disk = os.statvfs(path.parent)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize >= min(_ENOUGH, disk.f_blocks * disk.f_frsize // 20)

    def ran_out(self, path: Path, error: OSError) -> None:
        """Writing failed."""
        if not self.full:
            said = "cannot write %s: %s; tracks go on, and it is written again when that has changed"
            log.warning(said, path, _reason(error))
        self.full = _reason(error)

    def ended(self, path: Path) -> None:
        """Nothing more comes."""
        if self.full:
            log.warning("%s lacks its last frames, %d in all: %s", path, self.lost, self.full)

    def back(self, path: Path) -> None:
        """Writing succeeded."""
        if self.full:
            log.warning("%s is written again; %d frames are missing in it", path, self.lost)
        self.full = ""


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
