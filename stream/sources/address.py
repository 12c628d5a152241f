"""A source's address: secrets filled in from the environment, and what may be said of it: never its password."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from stream.sources.error import SourceError

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_NAME = (
    r"(?:user[a-z]*|usr|login[a-z]*|pass?[a-z]*|pwd|psw|pw|auth[a-z]*|token|jwt|secret|key|sig(?:nature)?|sid|"
    r"credentials?|session[a-z]*)="
)
# In a query a secret ends where the next parameter begins. Some cameras write parameters into the path, joined by _,
# and a secret may hold _ too, and end in the = of base64: it ends there only before a name, = and a value.
_SECRET = re.compile(rf"(?is)([?&][^?&=]*{_NAME}).*?(?=&[^&=]*=|\Z)|({_NAME}).*?(?=[_&;?][a-z][a-z0-9]*=[^=_&/]|\Z)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def scheme(spec: str) -> str | None:
    """The scheme of a URL in small letters ("rtsp"), None for a path."""
    match = _SCHEME.match(spec)
    return match[1].lower() if match else None


def fill(spec: str) -> str:
    """The address with every ${NAME} replaced by that environment variable, escaped where it becomes part of a URL.

    Raises SourceError when a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SourceError(f"{redact(spec)} needs the environment variable {match[1]}, which is not set")
        return quote(os.environ[match[1]], safe="") if scheme(spec) else os.environ[match[1]]

    return _VARIABLE.sub(value, spec)


def redact(text: str) -> str:
    """A URL, or a text that ends in one, without name and password, and `password=***` for `password=…` and the like.

    Everything up to the last @ goes, because people do not escape the / ? # @ in their passwords: an address with an @
    further on loses more than it must, and none shows a part of a password. A path is returned as it is.
    """
    match = _SCHEME.search(text)
    if not match:
        return text
    return text[: match.end()] + _SECRET.sub(r"\1\2***", text[match.end() :].rpartition("@")[2])


def camera_name(spec: str) -> str:
    """A name for a source whose user gave none: the camera's host, else the file's, folder's or device's name."""
    name = urlsplit(redact(spec)).hostname if scheme(spec) else Path(spec).stem
    return re.sub(r"[^\w.-]+", "-", name or "").strip("-.") or "camera"
