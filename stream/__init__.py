"""Frames in, messages out. Called, it is the loop over a video: see `xpose_stream.live.stream`."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The room and the function of a three-line program have one name, so that the room can be called."""

    def __call__(self, source: Any, prompt: Any = "person", *, rate: float = 30.0, **settings: Any) -> Any:
        """See `xpose_stream.live.stream`."""
        return import_module("xpose_stream.live").stream(source, prompt, rate=rate, **settings)


sys.modules[__name__].__class__ = _Callable
