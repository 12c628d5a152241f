"""Frames in: files, image folders, network cameras and devices behind one call, `open_source`."""

from xpose_stream.stream.sources.address import redact
from xpose_stream.stream.sources.error import SourceAway, SourceError, SourceLost
from xpose_stream.stream.sources.media import Options
from xpose_stream.stream.sources.reader import Reader
from xpose_stream.stream.sources.source import Source, open_source

__all__ = ["Options", "Reader", "Source", "SourceAway", "SourceError", "SourceLost", "open_source", "redact"]
