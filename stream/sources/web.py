"""What a web server answers, where FFmpeg cannot tell it."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from xpose_stream.stream.sources.pipe import index_comes_last

_TIMEOUT = 5.0  # s
_HEAD = 65_536  # bytes of a video
_REFUSED = (OSError, ValueError, http.client.HTTPException, urllib.error.URLError)
_MOST = 1_000_000  # bytes of a playlist
# Sites that show videos on pages and give away no addresses of streams.
_SHOWN = ("youtube.com", "youtu.be", "vimeo.com", "twitch.tv", "tiktok.com", "facebook.com", "instagram.com",
          "dailymotion.com", "bilibili.com", "x.com", "twitter.com")  # fmt: skip
PAGE = (
    "is a web page, and what is needed is the address of the video itself, or the video as a file: "
    "`yt-dlp -g PAGE` prints the one and `yt-dlp PAGE` fetches the other where that is allowed"
)


@dataclass(frozen=True)
class Answer:
    """What came: its address after redirections (with name and password as given), its kind and its text."""

    url: str
    kind: str
    text: str


def is_known_page(url: str) -> bool:
    """Whether this is a page of a site that is known to have nothing else."""
    host = (urlsplit(url).hostname or "").lower()
    video = urlsplit(url).path.lower().endswith((".m3u8", ".mp4", ".ts", ".webm", ".mkv"))
    return not video and any(host == site or host.endswith("." + site) for site in _SHOWN)


def get(url: str, most: int = _MOST) -> Answer | None:
    """What an http(s) address answers, at most so many bytes; None when it refuses. Certificates are not checked,
    which FFmpeg does not do either."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    try:
        with _asked(url) as answer:
            text = answer.read(most).decode(errors="replace") if most else ""
            final = urlsplit(answer.geturl())
            kept = parts.netloc if final.netloc == host else final.netloc
            return Answer(urlunsplit(final._replace(netloc=kept)), answer.headers.get_content_type(), text)
    except _REFUSED:
        return None


def is_out_of_reach(url: str) -> bool:
    """Whether this is an MP4 whose index comes last, from a server that gives no file from its middle on.

    One that is so short that FFmpeg has all of it at hand is not.
    """
    try:
        with _asked(url, Range="bytes=0-") as answer:
            head = answer.read(_HEAD) if answer.status == http.client.OK else b""
    except _REFUSED:
        return False
    return len(head) == _HEAD and index_comes_last(lambda place, size: head[place : place + size])


def _asked(url: str, **headers: str) -> Any:
    """The server's answer, as a context. Raises one of _REFUSED."""
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    words = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        words.add_password(None, bare, unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),
        urllib.request.HTTPBasicAuthHandler(words),
        urllib.request.HTTPDigestAuthHandler(words),
    )
    request = urllib.request.Request(bare, headers={"User-Agent": "Lavf", "Accept": "*/*"} | headers)
    return opener.open(request, timeout=_TIMEOUT)
