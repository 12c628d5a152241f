"""A source's address: secrets filled in from the environment, and what may be said of it: never its password."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from xpose_stream.stream.sources.error import SourceError
from xpose_stream.stream.sources.place import (
    is_device,
    is_file,
    is_image,
    is_pattern,
    is_pipe,
    located,
    matches,
    natural,
)

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_NAME = (
    r"(?:user[a-z]*|usr|login[a-z]*|pass?[a-z]*|pwd|psw|pw|auth[a-z]*|token|jwt|secret|key|sig(?:nature)?|sid|"
    r"credentials?|session[a-z]*)="
)
# In a query a secret ends where the next parameter begins. Some cameras write parameters into the path, joined by _,
# and a secret may hold _ too, and end in the = of base64: it ends there only before a name, = and a value.
_SECRET = re.compile(rf"(?is)([?&][^?&=]*{_NAME}).*?(?=&[^&=]*=|\Z)|({_NAME}).*?(?=[_&;?][a-z][a-z0-9]*=[^=_&/]|\Z)")
_PORT = re.compile(r":\d+$")
_CODE = re.compile(r"(%[0-9A-Fa-f]{2})")
# What people write of an address: a beginning that is none, a number, a name that is known, a port.
_BARE = re.compile(
    r"(?i)(rtsps?|https?)(:/|//)|www\.|localhost\b|\d{1,3}(\.\d{1,3}){3}\b|[\w.-]+\.local\b|[\w.-]+:\d+(/|$)"
)
_NUMBERED = re.compile(r"%\d*d|\{[^{}]*(?:,|\.\.)[^{}]*\}")  # FFmpeg's way to write a pattern, and a shell's in quotes
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_ESCAPE = (
    "write %2F for a / in it, %3F for ?, %23 for #, %40 for @ and %25 for %, or give it as ${NAME} from the environment"
)


def scheme(spec: str) -> str | None:
    """The scheme of a URL in small letters ("rtsp"), None for a path."""
    match = _SCHEME.match(spec)
    return match[1].lower() if match else None


def fill(spec: str) -> str:
    """The address as FFmpeg takes it: every ${NAME} replaced by that environment variable, and all escaped that people
    leave as it is in the names and passwords of URLs.

    Raises SourceError when a variable is not set, and when nobody can say where the password ends.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SourceError(f"{redact(spec)} needs the environment variable {match[1]}, which is not set")
        return quote(os.environ[match[1]], safe="") if scheme(spec) else os.environ[match[1]]

    filled = _VARIABLE.sub(value, spec)
    return filled if scheme(spec) in (None, "file") else _escaped(filled)


def _escaped(url: str) -> str:
    """The URL with name and password percent-encoded: a password may hold all that ends one by the rules of URLs.

    What stands before the last @ of the authority is name and password; so is what stands before a later @ when the
    authority by the rules is none, as in rtsp://joe:pa/ss@host/, whose port would be "pa".
    """
    match = _SCHEME.match(url)
    assert match
    rest = url[match.end() :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    later = "@" in rest[len(authority) :]
    user, _, host = authority.rpartition("@")
    if later and not user and not _is_host(host):
        user, _, after = rest.rpartition("@")
        host = re.split(r"[/?#]", after, maxsplit=1)[0]
    elif later and (user or _PORT.search(host)) and not _is_number(host):
        raise SourceError(
            f"in {redact(url)} it cannot be told where the password ends: {_ESCAPE}; for an @ that is not of it, %40"
        )
    if not _has_host(f"//{host}"):
        raise SourceError(
            f"an address is written as {match[0]}host:port/path, and this one has no host or no port like that"
        )
    if not user:
        return url
    path = rest[len(user) + 1 + len(host) :]
    name, colon, password = user.partition(":")
    return f"{match[0]}{_quoted(name)}{colon}{_quoted(password)}@{host}{path}"


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:  # brackets without an address in them, a port that is no number
        return False


def _is_host(text: str) -> bool:
    """Whether this can be a host, or host:port, of a URL."""
    return bool(re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]]+)(:\d+)?", text))


def _is_number(host: str) -> bool:
    """Whether this is the address of a machine, as no password looks like."""
    try:
        ipaddress.ip_address(_PORT.sub("", host).strip("[]"))
    except ValueError:
        return False
    return True


def _quoted(text: str) -> str:
    """Percent-encoded but for what is so already."""
    return "".join(part if _CODE.fullmatch(part) else quote(part, safe="") for part in _CODE.split(text))


def redact(text: str) -> str:
    """A URL, or a text that ends in one, without name and password, and `password=***` for `password=…` and the like.

    Everything up to the last @ goes, because people do not escape the / ? # @ in their passwords: an address with an @
    further on loses more than it must, and none shows a part of a password. A path is returned as it is, but for bytes
    that are no text, which become �.
    """
    text = text.encode(errors="surrogateescape").decode(errors="replace")
    match = _SCHEME.search(text)
    if not match:
        return text
    return text[: match.end()] + _SECRET.sub(r"\1\2***", text[match.end() :].rpartition("@")[2])


def nowhere(path: str) -> str:
    """What to say of a path where nothing is; many are addresses without their beginning."""
    told = redact(path)
    if os.path.islink(path):
        return f"{told} is a link that leads nowhere"
    if path in ("webcam", "camera"):
        return f"there is no file or folder {told}; the first camera of this machine is called 0"
    if _NUMBERED.search(told):
        return f'there is no file or folder {told}; several images are given as "{_NUMBERED.sub("*", told)}"'
    if _BARE.match(host := told.rpartition("@")[2]):
        return f"there is no file or folder {host}; the address of a camera begins with rtsp:// or http://"
    return f"there is no file or folder {told}"


def camera_name(spec: str) -> str:
    """A name for a source whose user gave none: the camera's host, else the file's, folder's or device's name."""
    if scheme(spec) not in (None, "file"):
        name = urlsplit(told).hostname if _has_host(told := redact(spec)) else None
    else:
        path = located(spec)
        name = Path(path).parent.name if is_pattern(path) else Path(path).stem
    return re.sub(r"[^\w.-]+", "-", name or "").strip("-.") or "camera"


def expanded(given: list[str]) -> list[str]:
    """Sources to be read one after the other: a pattern of videos is all of them. Raises SourceError."""
    sources = []
    for each in given:
        found = sorted(matches(path), key=natural) if is_pattern(path := located(each)) else []
        many = len(found) > 1 and not any(map(is_image, found))
        sources += list(map(str, found)) if many else [each]
    if len(sources) > 1 and all(is_image(Path(each)) for each in sources):
        raise SourceError(
            f"{len(sources)} images one by one are {len(sources)} sources: give their folder, or a pattern in quotes "
            'such as "frames/*.jpg", to look at them as one'
        )
    if len(sources) > 1 and (other := next((each for each in sources if not is_file(each)), None)):
        if scheme(other) in (None, "file") and not (is_device(other) or is_pipe(other) or is_pattern(located(other))):
            raise SourceError(f"there is no file or folder {redact(other)}; of {len(sources)} sources none was run")
        raise SourceError(
            f"of several sources each must be a file, and {redact(other)} is none: several cameras at a time are "
            "written into a site file (--site)"
        )
    return sources
