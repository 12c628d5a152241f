"""How the commands of one terminal reach the fleet that runs in another: a socket in its folder."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec
import zmq

from xpose_stream.error import UserError
from xpose_stream.stream.fleet.fleet import Fleet, FleetError, FleetStatus
from xpose_stream.stream.fleet.site import FleetSite
from xpose_stream.stream.sinks.publisher import bind

_REACH = 15.0  # s for an answer: a fleet that looks at a machine that hangs is late


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """JSON to send. site: a file, for `apply`."""

    do: Literal["status", "apply", "down"]
    site: str = ""


class Answer(msgspec.Struct):
    """JSON that comes back. number: of the change that begins."""

    status: FleetStatus | None = None
    number: int = 0
    error: str = ""


class Door:
    """Answers for a fleet in `folder`; `down` is true when somebody asked it to end. Raises PublishError."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self._fleet = fleet
        self.down = False
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 300)
        try:
            bind(self._socket, _endpoint(folder))
            os.chmod(_endpoint(folder).removeprefix("ipc://"), 0o600)
        except UserError:
            self.close()
            raise

    def serve(self, patience: float) -> None:
        """Answer whoever asks within so many s."""
        if self._socket.poll(round(patience * 1e3)):
            self._socket.send(msgspec.json.encode(self._answer(self._socket.recv())))

    def _answer(self, request: bytes) -> Answer:
        try:
            wish = msgspec.json.decode(request, type=Wish)
            if wish.do == "apply":
                return Answer(number=self._fleet.apply(FleetSite.load(wish.site)))
            self.down |= wish.do == "down"
            return Answer(self._fleet.status)
        except msgspec.MsgspecError as error:
            return Answer(error=f"the request is not understood: {error}")
        except UserError as error:
            return Answer(error=str(error))

    def close(self) -> None:
        """Answer no more."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Door:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def knock(folder: Path, wish: Wish) -> Answer:
    """Ask the fleet that runs in `folder`. Raises FleetError when there is none, or it refuses."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        endpoint = _endpoint(folder)
        if Path(endpoint.removeprefix("ipc://")).exists():
            socket.connect(endpoint)
            if socket.poll(2000, zmq.POLLOUT):
                socket.send(msgspec.json.encode(wish))
                if not socket.poll(round(_REACH * 1e3)):
                    raise FleetError(f"the fleet in {folder} does not answer; its log says what it is at")
                answer = msgspec.json.decode(socket.recv(), type=Answer)
                if answer.error:
                    raise FleetError(answer.error)
                return answer
    raise FleetError(f"no fleet runs in {folder}; start one with `fleet up SITE`, or say where with --folder")


def _endpoint(folder: Path) -> str:
    return f"ipc://{folder.absolute() / 'door'}"
