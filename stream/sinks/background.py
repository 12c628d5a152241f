"""A sink that works beside the pipeline instead of in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import SimpleQueue

from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sources.frame import Frame

Sink = Callable[[Frame, TracksMessage], None]

_AHEAD = 8  # frames that may wait before the pipeline should bring no more


class Background:
    """Opens a sink in a thread of its own when the first frame comes, calls it in order and closes it at the end.

    `ready` tells whether it keeps up; `freed` is called each time it has caught up again. `failure` is the error with
    which the sink could not be opened, written or closed; what comes after it is left undone, and the camera ends if
    the sink is `needed`. `name` is what it is called where its `room` is told of. `also` tells, when a frame is
    handed over, what the sink is called with as a third argument.
    """

    def __init__(
        self,
        open_sink: Callable[[], AbstractContextManager[Callable[..., None]]],
        freed: Callable[[], None],
        name: str = "",
        room: Room | None = None,
        also: Callable[[], object] | None = None,
        needed: bool = True,
    ) -> None:
        self.failure: Exception | None = None
        self.name, self.room, self.needed = name, room or Room(), needed
        self._open, self._freed, self._also = open_sink, freed, also
        self._waiting: SimpleQueue[tuple[object, ...] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Fewer than 8 frames wait, or nothing more will be done with them."""
        return self.failure is not None or self._waiting.qsize() < _AHEAD

    def __call__(self, frame: Frame, message: TracksMessage) -> None:
        """Hand over one frame; after a failure nothing is done with it."""
        if not self.failure:
            self._waiting.put((frame, message, *([self._also()] if self._also else [])))

    def end(self) -> None:
        """Nothing more comes: do the rest and close the sink, without being waited for."""
        self._waiting.put(None)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the sink is closed; call `end` before."""
        self._thread.join(timeout)

    def _work(self) -> None:
        item = self._waiting.get()
        if item is None:
            return
        try:
            with self._open() as sink:
                while item is not None:
                    sink(*item)
                    item = self._waiting.get()
                    if self._waiting.qsize() == _AHEAD - 1:
                        self._freed()
        except Exception as error:
            self.failure = error
            self._freed()
