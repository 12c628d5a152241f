"""Messages to programs with a protocol of their own. Each needs a package more, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.publisher import is_local
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.site import OutputSite
from xpose_stream.stream.sources.frame import Frame

Send = Callable[[Frame | None, TracksMessage], None]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Imports within may need `pip install xpose-stream[name]`; raises SinkError that says so."""
    try:
        yield
    except ImportError as error:
        raise SinkError(f"{error.name} is not installed: pip install 'xpose-stream[{name}]'") from None


def _sending(name: str) -> Callable[[Any, OutputSite], AbstractContextManager[Send]]:
    """The sink of that name, which sends messages and wants no pictures."""

    @contextmanager
    def opened(setting: Any, site: OutputSite) -> Iterator[Send]:
        with extra(name):
            module = import_module(f"xpose_stream.stream.sinks.{name}")
        with getattr(module, name.capitalize())(setting) as sink:
            yield lambda frame, message: sink.send(message)

    return opened


@contextmanager
def _foxglove(endpoint: str, site: OutputSite) -> Iterator[Send]:
    if not site.open and not is_local(f"tcp://{endpoint if not endpoint.startswith(':') else '*' + endpoint}"):
        raise SinkError(
            f"{endpoint} can be reached from other machines, and Foxglove knows no keys: take 127.0.0.1, or --open "
            "when everybody on that network may look"
        )
    with extra("mcap"):
        from xpose_stream.stream.sinks.foxglove import Live
    with Live(endpoint, site.video) as live:
        yield live.show


# By the name of the field of OutputSite that asks for it.
BRIDGES: dict[str, Callable[[Any, OutputSite], AbstractContextManager[Send]]] = {
    **{name: _sending(name) for name in ("osc", "lsl", "rerun")},
    "foxglove": _foxglove,
}
