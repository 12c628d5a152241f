"""Frames in: files, image folders, network cameras and devices behind one call, `open_source`."""

from stream.sources.address import redact
from stream.sources.media import SourceError, SourceLost
from stream.sources.source import Source, open_source

__all__ = ["Source", "SourceError", "SourceLost", "open_source", "redact"]
