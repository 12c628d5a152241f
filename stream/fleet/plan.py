"""Which camera is served by which shard: a pure function, under which nothing moves that need not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Need:
    """What a camera asks of a shard: frames/s, memory beside the model's, and to be in its network ("": any)."""

    camera: str
    rate: float = 0.0
    memory_mb: float = 0.0
    network: str = ""


@dataclass(frozen=True)
class Room:
    """What one shard has for cameras: frames/s of its engine, memory that the model leaves, networks it reaches."""

    shard: str
    machine: str
    rate: float = float("inf")
    memory_mb: float = float("inf")
    networks: frozenset[str] = frozenset()

    def reaches(self, need: Need) -> bool:
        """Whether it is in the camera's network."""
        return not need.network or need.network in self.networks


@dataclass(frozen=True)
class Plan:
    """placed: by camera, its shard. waiting: by camera, why it has none."""

    placed: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)

    def of(self, shard: str) -> list[str]:
        """The cameras of a shard."""
        return [camera for camera, place in self.placed.items() if place == shard]

    def moved(self, before: Mapping[str, str]) -> list[str]:
        """Cameras that are placed elsewhere than before, those that are new or gone left out."""
        return [camera for camera, place in self.placed.items() if before.get(camera, place) != place]


def plan(needs: Iterable[Need], rooms: Iterable[Room], before: Mapping[str, str] | None = None) -> Plan:
    """Place every camera that there is room for.

    A camera stays where it was (`before`, by camera its shard) while that shard is there, reaches it and has room;
    where a shard got too small, as few leave it as can. Others go to the shard that is least loaded with them, those
    with the least choice and the most frames first; of equal shards to the one with the lowest hash of both names, so
    that the same question has the same answer everywhere. No camera makes room for another.
    """
    wanted = {need.camera: need for need in needs}
    left = {room.shard: _Left(room) for room in rooms}
    placed: dict[str, str] = {}
    for need in sorted(wanted.values(), key=lambda need: (need.rate, need.memory_mb, need.camera)):
        stays = left.get((before or {}).get(need.camera, ""))
        if stays and stays.room.reaches(need) and stays.holds(need):
            placed[need.camera] = stays.take(need)
    waiting: dict[str, str] = {}
    reached = {need.camera: [one for one in left.values() if one.room.reaches(need)] for need in wanted.values()}
    rest = [need for need in wanted.values() if need.camera not in placed]
    for need in sorted(rest, key=lambda need: (len(reached[need.camera]), -need.rate, -need.memory_mb, need.camera)):
        fitting = [one for one in reached[need.camera] if one.holds(need)]
        if fitting:
            best = min(fitting, key=lambda one: (one.share_with(need), _hash(need.camera, one.room.shard)))
            placed[need.camera] = best.take(need)
        else:
            waiting[need.camera] = _why(need, [one.room for one in left.values()])
    return Plan({camera: placed[camera] for camera in wanted if camera in placed}, waiting)


class _Left:
    """What is left of a room."""

    def __init__(self, room: Room) -> None:
        self.room, self.rate, self.memory_mb = room, room.rate, room.memory_mb
        self.cameras = 0

    def holds(self, need: Need) -> bool:
        return need.rate <= self.rate and need.memory_mb <= self.memory_mb

    def take(self, need: Need) -> str:
        self.rate -= need.rate
        self.memory_mb -= need.memory_mb
        self.cameras += 1
        return self.room.shard

    def share_with(self, need: Need) -> tuple[float, int]:
        """How full it would be, in the scarcer of both, and with how many cameras."""
        rate = _share(self.room.rate, self.rate - need.rate)
        memory = _share(self.room.memory_mb, self.memory_mb - need.memory_mb)
        return round(max(rate, memory), 6), self.cameras


def _share(all_of_it: float, left: float) -> float:
    return 0.0 if all_of_it in (0.0, float("inf")) else 1 - left / all_of_it


def _hash(camera: str, shard: str) -> bytes:
    return hashlib.blake2b(f"{camera}\0{shard}".encode(), digest_size=8).digest()


def _why(need: Need, rooms: list[Room]) -> str:
    reaching = [room for room in rooms if room.reaches(need)]
    if not rooms:
        return "no machine is there"
    if not reaching:
        return f"no machine that is there is in its network, {need.network}"
    if all(need.rate > room.rate for room in reaching):
        return f"it sends {need.rate:g} frames/s, more than any shard's engine does"
    return f"all {len(reaching)} shards that reach it are full; add a machine or take a camera away"
