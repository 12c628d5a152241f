"""How a source can fail."""

from __future__ import annotations

from xpose_stream.error import UserError


class SourceError(UserError):
    """A source cannot be opened or read: one sentence for the user, without passwords."""


class SourceAway(SourceError):
    """A camera cannot be opened now, but may come: it is worth trying again, with at most `pause` s in between."""

    def __init__(self, message: str, pause: float = 0.5) -> None:
        super().__init__(message)
        self.pause = pause


class SourceLost(SourceAway):
    """A live source was there and is gone: it stalled, ended or hung up."""
