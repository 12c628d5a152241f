"""What can happen to an RTP packet on its way: for the proxy, which passes on what becomes of each."""

from __future__ import annotations

import random
from collections.abc import Callable

FRAMING = 4  # bytes: RTSP's "$", channel and length before each packet


def flipped(packet: bytearray, chance: random.Random) -> bytes:
    """Up to 60 bits are turned, in headers and video alike."""
    for _ in range(chance.randint(1, 60)):
        packet[chance.randrange(FRAMING, len(packet))] ^= 1 << chance.randrange(8)
    return bytes(packet)


def cut(packet: bytearray, chance: random.Random) -> bytes:
    """Its end is missing, and its framing says so."""
    length = chance.randrange(len(packet) - FRAMING)
    return bytes(packet[:2]) + length.to_bytes(2, "big") + bytes(packet[FRAMING : FRAMING + length])


def broken_off(packet: bytearray, chance: random.Random) -> bytes:
    """Its end is missing and its framing promises it: what follows is taken for it."""
    return bytes(packet[: chance.randrange(FRAMING, len(packet))])


def zeroed(packet: bytearray, chance: random.Random) -> bytes:
    """A part is 0."""
    start = chance.randrange(FRAMING, len(packet))
    end = min(len(packet), start + chance.randint(1, 500))
    packet[start:end] = bytes(end - start)
    return bytes(packet)


def foreign(packet: bytearray, chance: random.Random) -> bytes:
    """Something else of the same length."""
    return bytes(packet[:FRAMING]) + chance.randbytes(len(packet) - FRAMING)


def lost(packet: bytearray, chance: random.Random) -> bytes:
    """It never comes."""
    return b""


def doubled(packet: bytearray, chance: random.Random) -> bytes:
    """It comes twice."""
    return bytes(packet) * 2


KINDS: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "flipped bits": flipped,
    "cut": cut,
    "broken off": broken_off,
    "zeroed": zeroed,
    "foreign contents": foreign,
    "lost": lost,
    "doubled": doubled,
}


class Damage:
    """Damages a share of all packets, `most` of them; `done` counts them."""

    def __init__(self, kind: str, share: float, most: float = float("inf")) -> None:
        self.done = 0
        self.most = most
        self._damaged, self._share = KINDS[kind], share
        self._chance = random.Random(0)

    def __call__(self, packet: bytes) -> bytes:
        """What becomes of a packet with its framing."""
        if self.done >= self.most or len(packet) <= FRAMING + 1 or self._chance.random() >= self._share:
            return packet
        self.done += 1
        return self._damaged(bytearray(packet), self._chance)
