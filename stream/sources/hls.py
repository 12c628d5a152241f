"""HLS master playlists, which list the same video in several sizes."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from xpose_stream.stream.sources.error import SourceError
from xpose_stream.stream.sources.web import get

_VARIANT = re.compile(r"^#EXT-X-STREAM-INF:(.*)(?:\r?\n(?:#.*|\s*))*\r?\n([^#\s].*)", re.MULTILINE)
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')


def is_playlist(url: str) -> bool:
    """Whether the address is that of a playlist, by its name."""
    return ".m3u8" in url.lower()


def variants(url: str, name: str, wanted: int | None = None) -> list[str]:
    """Addresses of the variants, the best first (largest, then quickest, then finest), or variant `wanted` from 0.

    FFmpeg would fetch all of them. What is no master playlist, or does not answer, is returned as it is. `url` may be
    a path. Raises SourceError when there is no variant `wanted`.
    """
    answer = get(url) if "://" in url else None
    base, text = (answer.url, answer.text) if answer else (url, "" if "://" in url else _text(url))
    found = _variants(text)
    if not found:
        return [url]
    if wanted is not None and wanted >= len(found):
        sizes = ", ".join(f"{i}: {each.get('RESOLUTION', 'size unknown')}" for i, (each, _) in enumerate(found))
        raise SourceError(f"{name} has no video {wanted}; there are {sizes}")
    best = sorted(found, key=lambda variant: _quality(variant[0]), reverse=True)
    return [_joined(base, address) for _, address in (best if wanted is None else [found[wanted]])]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _variants(text: str) -> list[tuple[dict[str, str], str]]:
    """Attributes and addresses of the variants with pictures; none when the text is no plain master playlist."""
    if not text.lstrip("\ufeff \r\n").startswith("#EXTM3U") or "#EXT-X-DEFINE" in text:
        return []
    found = [(dict(_ATTRIBUTE.findall(match[1])), match[2].strip()) for match in _VARIANT.finditer(text)]
    return [(attributes, address) for attributes, address in found if not _is_sound(attributes)]


def _is_sound(attributes: dict[str, str]) -> bool:
    codecs = [codec.strip() for codec in attributes.get("CODECS", "").strip('"').split(",") if codec.strip()]
    sound = ("mp4a", "ac-3", "ec-3", "opus", "fLaC", "mp3")
    return "RESOLUTION" not in attributes and bool(codecs) and all(codec.startswith(sound) for codec in codecs)


def _quality(attributes: dict[str, str]) -> tuple[float, float, float]:
    width, _, height = attributes.get("RESOLUTION", "0x0").lower().partition("x")
    return (
        _number(width) * _number(height),
        _number(attributes.get("FRAME-RATE", "0")),
        _number(attributes.get("BANDWIDTH", "0")),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _joined(base: str, address: str) -> str:
    if "://" in address:
        return address
    if "://" not in base:
        return str(Path(base).parent / address)
    joined = urlsplit(urljoin(base, address))
    return joined.geturl()
