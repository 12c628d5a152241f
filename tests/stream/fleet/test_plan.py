"""Where cameras go: with room and in their network, and nothing moves that need not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from xpose_stream.stream.fleet.plan import Need, Plan, Room, plan

networks = st.sampled_from(["", "hall", "yard"])
rates = st.sampled_from([0.0, 5.0, 15.0, 30.0])
cameras = st.lists(
    st.builds(Need, st.text("abcdef", min_size=1, max_size=3), rates, st.sampled_from([0.0, 200.0]), networks),
    unique_by=lambda need: need.camera,
    max_size=25,
)
shards = st.lists(
    st.builds(
        Room,
        st.sampled_from([f"{machine}.{number}" for machine in "abc" for number in range(2)]),
        st.just(""),
        st.sampled_from([30.0, 60.0, 100.0, float("inf")]),
        st.sampled_from([400.0, 2000.0, float("inf")]),
        st.sets(st.sampled_from(["hall", "yard"])).map(frozenset),
    ),
    unique_by=lambda room: room.shard,
    max_size=6,
).map(lambda rooms: [Room(r.shard, r.shard[0], r.rate, r.memory_mb, r.networks) for r in rooms])


def loads(needs: list[Need], placed: Mapping[str, str]) -> dict[str, list[Need]]:
    found: dict[str, list[Need]] = defaultdict(list)
    for need in needs:
        if need.camera in placed:
            found[placed[need.camera]].append(need)
    return found


def check(needs: list[Need], rooms: list[Room], made: Plan) -> None:
    """Every camera is placed or waits for a reason, where it is reached and fits; none waits that would fit."""
    assert set(made.placed) | set(made.waiting) == {need.camera for need in needs}
    assert not set(made.placed) & set(made.waiting)
    by_shard = loads(needs, made.placed)
    assert set(by_shard) <= {room.shard for room in rooms}
    for room in rooms:
        there = by_shard[room.shard]
        rate, memory = sum(need.rate for need in there), sum(need.memory_mb for need in there)
        assert rate <= room.rate and memory <= room.memory_mb and all(room.reaches(need) for need in there)
        for need in needs:
            if need.camera in made.waiting and room.reaches(need):
                assert rate + need.rate > room.rate or memory + need.memory_mb > room.memory_mb


@settings(max_examples=50)
@given(cameras, shards)
def test_capacity_and_networks_are_respected_and_no_room_is_left_that_a_waiting_camera_could_have(
    needs: list[Need], rooms: list[Room]
) -> None:
    made = plan(needs, rooms)
    check(needs, rooms, made)
    assert plan(needs[::-1], rooms[::-1]) == made  # the order in which they are told does not matter


@settings(max_examples=50)
@given(cameras, shards)
def test_a_camera_that_is_added_or_removed_moves_no_other(needs: list[Need], rooms: list[Room]) -> None:
    for fewer in (needs[1:], needs[:-1]):
        before = plan(fewer, rooms).placed
        after = plan(needs, rooms, before)
        assert {camera: after.placed[camera] for camera in before} == before
        check(needs, rooms, after)
        back = plan(fewer, rooms, after.placed)
        assert not back.moved(after.placed)


@settings(max_examples=50)
@given(cameras, shards)
def test_a_machine_that_dies_moves_its_own_cameras_alone_and_when_it_is_back_nobody_moves(
    needs: list[Need], rooms: list[Room]
) -> None:
    before = plan(needs, rooms)
    dead = [room.shard for room in rooms if room.machine == "a"]
    living = [room for room in rooms if room.machine != "a"]
    after = plan(needs, living, before.placed)
    check(needs, living, after)
    stayed = {camera: place for camera, place in before.placed.items() if place not in dead}
    assert {camera: after.placed[camera] for camera in stayed} == stayed
    again = plan(needs, rooms, after.placed)
    check(needs, rooms, again)
    assert not again.moved(after.placed)


@settings(max_examples=50)
@given(cameras, shards)
def test_where_a_shard_gets_too_small_the_smallest_stay(needs: list[Need], rooms: list[Room]) -> None:
    before = plan(needs, rooms).placed
    smaller = [Room(room.shard, room.machine, 20.0, room.memory_mb, room.networks) for room in rooms]
    after = plan(needs, smaller, before)
    check(needs, smaller, after)
    for there in loads(needs, before).values():
        left = [need for need in there if after.placed.get(need.camera) != before[need.camera]]
        stayed = [need for need in there if after.placed.get(need.camera) == before[need.camera]]
        assert not left or max((need.rate for need in stayed), default=0) <= min(need.rate for need in left)


def test_equal_cameras_are_spread_evenly() -> None:
    rooms = [Room(f"{machine}.0", machine, 100) for machine in "abcd"]
    placed = plan([Need(f"camera{number}", 15) for number in range(20)], rooms).placed
    assert sorted(len(there) for there in loads([Need(name) for name in placed], placed).values()) == [5, 5, 5, 5]
    free = [Room(f"{machine}.0", machine) for machine in "abcd"]
    placed = plan([Need(f"camera{number}") for number in range(20)], free).placed
    assert sorted(len(there) for there in loads([Need(name) for name in placed], placed).values()) == [5, 5, 5, 5]


def test_why_a_camera_waits_is_told() -> None:
    rooms = [Room("a.0", "a", 30, 1000, frozenset(["hall"]))]
    assert plan([Need("x")], []).waiting == {"x": "no machine is there"}
    assert "in its network, yard" in plan([Need("x", network="yard")], rooms).waiting["x"]
    assert "60 frames/s, more than any" in plan([Need("x", 60)], rooms).waiting["x"]
    assert "full; add a machine" in plan([Need("x", 20), Need("y", 20)], rooms).waiting["y"]
