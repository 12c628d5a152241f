"""CURVE keys in files: a pair of one's own, and the folder that says whom a stream lets in."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import zmq.auth

from xpose_stream.error import UserError
from xpose_stream.stream.sinks.sink import missing

_PUBLIC, _SECRET = ".key", ".key_secret"
_STREAM = "server"

log = logging.getLogger(__name__)


class KeysError(UserError):
    """A key that cannot be read or written; the message is one sentence."""


@dataclass(frozen=True)
class Key:
    """A client's pair and the public key of the stream that it talks to, all in Z85."""

    path: Path
    public: bytes
    secret: bytes
    stream: bytes

    @classmethod
    def load(cls, path: str | Path) -> Key:
        """Read NAME.key_secret and, beside it, the stream's server.key. Raises KeysError."""
        path = Path(path)
        beside = path.with_name(_STREAM + _PUBLIC)
        public, secret = _pair(path)
        if not beside.exists():
            raise KeysError(f"{path} needs the stream's public key beside it: copy the stream's server.key to {beside}")
        return cls(path, public, secret, _public(beside))

    def use(self, socket: zmq.Socket) -> None:
        """Encrypt what `socket` says once it is connected."""
        socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = self.public, self.secret, self.stream


class Keys:
    """The folder of a stream's keys: its own pair, server.key_secret, and in allowed/ the public keys it lets in.

    Raises KeysError when there is no such pair or no folder allowed/.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / (_STREAM + _SECRET)
        if not path.exists():
            raise KeysError(f"{self.folder} holds no key of a stream: run `keys new {_STREAM} --out {self.folder}`")
        self._public, self._secret = _pair(path)
        self._told: set[Path] = set()
        if not (self.folder / "allowed").is_dir():
            raise KeysError(
                f"{self.folder / 'allowed'} does not exist: make it, and copy into it the .key of everyone to let in"
            )

    @property
    def public(self) -> str:
        """The stream's public key, in Z85."""
        return self._public.decode()

    @property
    def allowed(self) -> frozenset[bytes]:
        """The public keys, in Z85, that may come in now; a file that holds none is told once and lets nobody in."""
        found = set()
        for path in sorted((self.folder / "allowed").glob(f"*{_PUBLIC}")):
            try:
                found.add(_public(path))
            except KeysError as error:
                if path not in self._told:
                    log.warning("%s", error)
                    self._told.add(path)
        return frozenset(found)

    def use(self, socket: zmq.Socket) -> None:
        """Make `socket`, before it is bound, one that only whoever is let in can talk to."""
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = self._public, self._secret
        socket.zap_domain = b"*"


def new(name: str, folder: str | Path = ".") -> tuple[Path, Path]:
    """Write a pair that nobody but its owner can read: NAME.key to be given away, NAME.key_secret. Raises KeysError."""
    folder = Path(folder)
    if not name or "/" in name or name.startswith("."):
        raise KeysError(f"{name!r} cannot be the name of a key; take letters and digits")
    paths = folder / (name + _PUBLIC), folder / (name + _SECRET)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if name == _STREAM:
            (folder / "allowed").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as hidden:  # which nobody else can look into
            made = zmq.auth.create_certificates(hidden, name)
            for source, path in zip(made, paths, strict=True):
                os.chmod(source, 0o600)
                os.link(source, path)
    except FileExistsError as error:
        if not folder.exists():
            raise KeysError(f"cannot write a key to {folder}: {missing(folder)}") from None
        raise KeysError(f"{error.filename2 or error.filename} exists already and is not overwritten") from None
    except OSError as error:
        raise KeysError(f"cannot write a key to {folder}: {error.strerror}") from None
    return paths


def _pair(path: Path) -> tuple[bytes, bytes]:
    public, secret = _load(path)
    if secret is None:
        raise KeysError(f"{path} holds no secret key; name the file that ends in {_SECRET}")
    return public, secret


def _public(path: Path) -> bytes:
    public, secret = _load(path)
    if secret is not None:
        raise KeysError(f"{path} holds a secret key, which its owner alone should have; copy the file NAME{_PUBLIC}")
    return public


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}" if error.strerror else "there is no such file"
        raise KeysError(f"no key in {path}: {reason}") from None
    except (ValueError, UnicodeDecodeError):
        raise KeysError(f"no key in {path}: it is not what `keys new` writes") from None
    if len(public) != 40 or (secret is not None and len(secret) != 40):
        raise KeysError(f"no key in {path}: it is not what `keys new` writes")
    return public, secret
