"""Frames in: files, image folders, network cameras and devices behind one call, `open_source`."""

from stream.sources.address import redact
from stream.sources.error import SourceAway, SourceError, SourceLost
from stream.sources.media import Options
from stream.sources.reader import Reader
from stream.sources.source import Source, open_source

__all__ = ["Options", "Reader", "Source", "SourceAway", "SourceError", "SourceLost", "open_source", "redact"]
