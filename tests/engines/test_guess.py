"""The dense first guess: rows of words, looks of examples, and where they say that something is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.guess import PEAKED, PLACE, First, Guess, Guessed, Rows, middle, near, peaks_of
from xpose_stream.engines.xpose.likeness import EXTRA, PATCH, TURNS, VOTE, Looks, Metric, alike, join, seen, split
from xpose_stream.engines.xpose.looks import LOOKS, TIMES, Maps, cells, lay_out
from xpose_stream.engines.xpose.mobilenet import HIDDEN, NARROW, MobileNet

SIZE = 64, 96  # px
CONFIG = replace(
    XPoseConfig.eyes(), widths=(8,) * 5 + (8,) * 13, guess=(2, 3), guess_queries=4, num_queries=8, num_groups=2
)


def dense(seed: int = 0) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    sizes = [(SIZE[0] // s, SIZE[1] // s) for s in (4, 8, 16, 16)]
    looks = [torch.randn(1, c, *size, generator=chance) for c, size in zip(LOOKS, sizes, strict=True)]
    heads = [torch.zeros(1, width, *sizes[0]) for width in (HIDDEN, HIDDEN, 3 * NARROW)]
    return [*heads, torch.zeros(1, 3 * HIDDEN, NARROW + 1), *looks]


def test_a_known_word_has_its_row_and_another_has_nothing() -> None:
    rows = Rows(2, 4, {"a": 3})
    rows.anchors.copy_(torch.eye(4)[:2])
    rows.start.copy_(torch.tensor(((1.0, 2, 3), (4, 5, 6))))
    rows.nothing.copy_(torch.full((3,), -9.0))
    found = rows(torch.tensor(((2.0, 0, 0, 0), (0, 0, 1, 0))))["a"]
    torch.testing.assert_close(found[0], torch.tensor((1.0, 2, 3)), atol=1e-2, rtol=0)
    torch.testing.assert_close(found[1], torch.full((3,), -9.0), atol=1e-2, rtol=0)


def test_rows_tell_how_far_they_are_movenets_own() -> None:
    rows = Rows(2, 4, {"heat": 3})
    rows.anchors.copy_(torch.eye(4)[:2])
    rows.free[0] = 0.0
    own = rows(torch.eye(4)[:3])["own"][:, 0]
    torch.testing.assert_close(own, torch.tensor((1.0, 0.0, 0.0)), atol=1e-3, rtol=0)


def test_what_is_better_as_it_was_does_not_learn() -> None:
    rows = Rows(2, 2, {"a": 1})
    rows.anchors.copy_(torch.eye(2))
    rows.free[0] = 0.0
    rows(torch.eye(2))["a"].sum().backward()
    assert rows.learned.grad is not None
    assert rows.learned.grad[0].abs().max() < 1e-6 < rows.learned.grad[1].abs().max()


def first_of(heat: torch.Tensor, own: float = 0.0, person: float = 1.0) -> tuple[First, torch.Tensor]:
    """First references in cells for keypoints with this heat [K, h, w], expected at column 9.5, row 5.5."""
    guess, maps = Guess(CONFIG), lay_out(dense(), SIZE)
    (height, width), keypoints = maps.size, len(heat)
    places = {name: torch.zeros(1, 1, keypoints, size) for name, size in PLACE.items()}
    places["own"] = torch.full((1, 1, keypoints, 1), own)
    things = {"own": torch.full((1, 1, 1), person)}
    guessed = Guessed(maps, things, places, torch.zeros(1, 1, height * width), heat[None, None].flatten(3), None, None)
    box = torch.tensor([[[10 / width, 6 / height, 8 / width, 8 / height]]])
    first = guess.first(guessed, box, torch.zeros(1, 1, dtype=torch.long))
    return first, first.points[0, 0] * torch.tensor((width, height))


def test_a_keypoint_is_guessed_at_the_peak_of_its_heat_near_where_it_is_expected() -> None:
    heat = torch.full((2, SIZE[0] // 4, SIZE[1] // 4), -8.0)
    heat[0, 6, 9] = 4.0
    heat[0, 15, 23] = 6.0  # too far away
    first, cells = first_of(heat)
    torch.testing.assert_close(cells[0], torch.tensor((9.5, 6.5)), atol=0.2, rtol=0)
    # the other one has no heat, so it stays where it is expected, and may be farther off
    torch.testing.assert_close(cells[1], torch.tensor((9.5, 5.5)), atol=0.2, rtol=0)
    assert first.unit[0, 0, 1, 0] >= first.unit[0, 0, 0, 0]


def test_what_is_plain_by_movenets_own_heat_may_not_be_moved_but_a_dogs_nose_may() -> None:
    heat = torch.full((2, SIZE[0] // 4, SIZE[1] // 4), -8.0)
    heat[0, 6, 9], heat[1, 6, 9] = 4.0, -3.0  # plain, and faint
    learned, _ = first_of(heat)
    own, _ = first_of(heat, own=1.0)
    dog, _ = first_of(heat, own=1.0, person=0.0)
    ratio = (own.unit / learned.unit)[0, 0, :, 0]
    assert ratio[0] < 0.02
    assert ratio[1] > 0.9
    torch.testing.assert_close(dog.unit, learned.unit)
    assert own.own.min() == 1.0
    assert dog.own.max() == 0.0


def test_movenets_own_heat_is_looked_at_once_more_around_where_it_was_found() -> None:
    y, x = torch.meshgrid(torch.arange(SIZE[0] // 4) + 0.5, torch.arange(SIZE[1] // 4) + 0.5, indexing="ij")
    peak = torch.tensor((12.0, 8.0))  # two to three cells from where it is expected
    heat = (4.0 - ((x - peak[0]).square() + (y - peak[1]).square()) / 2).unsqueeze(0)
    away = [(first_of(heat, own)[1][0] - peak).norm() for own in (0.0, 1.0)]
    assert away[1] < 0.8 * away[0]


def test_sums_near_places_are_those_over_all_cells_and_without_heat_the_middle_is_the_place() -> None:
    chance = torch.Generator().manual_seed(0)
    x, y = torch.arange(24) + 0.5, torch.arange(16) + 0.5
    heat = (2 * torch.randn(2, 3, 5, 16, 24, generator=chance) - 1).sigmoid().log()
    places = torch.rand(2, 3, 5, 2, generator=chance) * torch.tensor((24.0, 16.0))
    places[0, 0, 0] = torch.tensor((-90.0, 70.0))  # a keypoint that the picture leaves out
    sigma = 1 + 4 * torch.rand(2, 3, 5, generator=chance)
    away = ((x - places[..., :1]).square()[..., None, :] + (y - places[..., 1:]).square()[..., None]) / 2
    share = (PEAKED * (heat - away / sigma[..., None, None].square())).flatten(-2).softmax(-1).view_as(heat)
    across, down = share.sum(-2), share.sum(-1)
    wanted = torch.stack(((across * x).sum(-1), (down * y).sum(-1)), -1)
    square = (across * x.square()).sum(-1) + (down * y.square()).sum(-1)
    mean, spread, height = near(peaks_of(heat), places, sigma)
    torch.testing.assert_close(mean, wanted, atol=1e-3, rtol=0)
    spread_wanted = (square - wanted.square().sum(-1)).clamp(min=0.25).sqrt()
    torch.testing.assert_close(spread[..., 0], spread_wanted, atol=1e-2, rtol=0)
    torch.testing.assert_close(height[..., 0], (share * heat).sum((-1, -2)), atol=1e-4, rtol=0)
    inside = middle(peaks_of(heat), places, sigma).flatten(0, 2)[1:]
    torch.testing.assert_close(inside, mean.flatten(0, 2)[1:], atol=1e-3, rtol=0)
    torch.testing.assert_close(middle(peaks_of(heat - 30), places, sigma), places)
    shared, alone = peaks_of(heat[:, :1]), peaks_of(heat[:, :1].expand_as(heat))  # of all groups, and of each its own
    for one, other in zip(near(shared, places, sigma), near(alone, places, sigma), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(middle(shared, places, sigma), middle(alone, places, sigma))


def test_heat_is_told_in_numbers_on_which_cpus_are_fast() -> None:
    heat = torch.linspace(-500.0, 0.0, 384).view(1, 1, 1, 16, 24)
    assert float(peaks_of(heat).power.min()) > 1e-9  # times a weight of 1e-29 it is no denormal yet


def test_faint_heat_counts_the_same_where_the_tiniest_numbers_are_none() -> None:
    y, x = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(24) + 0.5, indexing="ij")
    heat = (math.log(0.021) - ((x - 12).square() + (y - 8).square()) / 4.5).view(1, 1, 1, 16, 24)
    place, sigma = torch.tensor((15.0, 8.0)).view(1, 1, 1, 2), torch.full((1, 1, 1), 4.0)
    wanted = middle(peaks_of(heat.double()), place.double(), sigma.double()).float()
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU always counts them")
    try:
        found = middle(peaks_of(heat), place, sigma)
    finally:
        torch.set_flush_denormal(False)
    assert (wanted - place).norm() > 0.3
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_far_beyond_the_picture_places_and_gradients_stay_numbers() -> None:
    heat = torch.randn(1, 1, 1, 16, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    place = torch.tensor((-300.0, 500.0)).view(1, 1, 1, 2)
    found = near(peaks_of(heat), place, torch.ones(1, 1, 1))
    torch.cat([part.flatten() for part in found]).sum().backward()
    assert all(bool(part.isfinite().all()) for part in (*found, heat.grad))
    inside = torch.tensor((12.0, 8.0)).view(1, 1, 1, 2)
    (near(peaks_of(heat), inside, torch.ones(1, 1, 1))[0].sum() * 1e-4).backward()
    assert int((heat.grad != 0).sum()) > 20  # however small it is


def test_where_there_is_no_heat_within_reach_a_keypoint_is_where_it_is_expected() -> None:
    heat = torch.full((1, 1, 1, 16, 24), -300.0)
    heat[..., 2, 2] = 0.0
    place = torch.tensor((20.0, 12.0)).view(1, 1, 1, 2)
    mean, spread, _ = near(peaks_of(heat), place, torch.ones(1, 1, 1))
    torch.testing.assert_close(mean, place, atol=0.05, rtol=0)
    assert 0.5 <= float(spread) <= 1


def test_what_few_cells_are_asked_for_is_what_the_heads_say_there() -> None:
    backbone = MobileNet(XPoseConfig.eyes()).eval()
    chance = torch.Generator().manual_seed(0)
    for part in (backbone.body.hidden.depthwise, backbone.body.hidden.pointwise):
        part.weight.copy_(torch.randn(part.weight.shape, generator=chance))
        part.bias.copy_(torch.randn(part.bias.shape, generator=chance))
    fine = torch.randn(2, NARROW, 6, 8, generator=chance)
    around = backbone.body.around(fine)
    centre, heat, *others = backbone.body.deepen(around)
    rows = backbone.body.rows(2)[:, 2 * HIDDEN :]
    maps = Maps((6, 8), (8.0, 6.0), cells(centre), cells(heat), cells(torch.cat(around[2:], 1)), rows, [])
    cell = torch.tensor(((5, 40), (0, 47)))
    everywhere = torch.cat([cells(one) for one in others], -1)
    wanted = everywhere[torch.arange(2).unsqueeze(1), cell]
    torch.testing.assert_close(torch.cat((maps.shift(cell), maps.box(cell)), -1), wanted, atol=1e-4, rtol=1e-4)


POINTS = torch.tensor(((0.30, 0.40), (0.42, 0.52)))


def rows_at(maps: Maps, points: torch.Tensor) -> torch.Tensor:
    """Rows [K, PATCH] that are 1 on what looks as the maps do at points [K, 2], fractions."""
    cells = (points * torch.tensor(maps.extent)).long()
    rows = torch.cat(
        [
            look[0, :, cells[:, 1] // t, cells[:, 0] // t].T
            for look, t in zip(seen(maps.looks, Metric()), TIMES, strict=True)
        ],
        1,
    )
    return rows / (9 * len(LOOKS))


def looks_of(rows: torch.Tensor, points: torch.Tensor = POINTS) -> Looks:
    """Looks of one prompt whose keypoints lie as points, with rows [K, TURNS, PATCH]."""
    place = (points - points.mean(0)) / 0.3
    return Looks(
        rows[None, None],
        place[None, None],
        torch.full((1, 1, 2), 0.3),
        torch.zeros(1, 1, 1),
        torch.ones(1, 1, 1),
        torch.ones(1, 1, 2),
    )


def place_of(maps: Maps, map: torch.Tensor) -> torch.Tensor:
    """The highest cell of a map [N], as fractions."""
    row, column = divmod(int(map.argmax()), maps.size[1])
    return torch.tensor(((column + 0.5) / maps.extent[0], (row + 0.5) / maps.extent[1]))


def test_looks_are_found_again_where_the_picture_was_shifted() -> None:
    before = dense()
    rows = rows_at(lay_out(before, SIZE), POINTS).unsqueeze(1).expand(-1, TURNS, -1)
    looks = [torch.roll(look, 16 // s, 3) for look, s in zip(before[4:], (4, 8, 16, 16), strict=True)]
    moved = [*before[:4], *looks]
    maps = lay_out(moved, SIZE)
    like = alike(looks_of(rows), maps, Metric())
    shift = torch.tensor((16 / SIZE[1], 0))
    for k, point in enumerate(POINTS):
        assert (place_of(maps, like.heat[0, 0, 0, k]) - point - shift).abs().max() < 0.05
    assert (place_of(maps, like.centre[0, 0]) - POINTS.mean(0) - shift).abs().max() < 0.15


@pytest.mark.parametrize("turn", (0, 2, 4, 6))
def test_the_way_round_is_that_in_which_keypoints_lie_so_to_each_other(turn: int) -> None:
    maps = lay_out(dense(), SIZE)
    scale, points = torch.tensor(maps.extent), torch.tensor(((0.3, 0.4), (0.7, 0.6)))
    shift = (points - points.mean(0)) * scale  # cells
    for _ in range(turn // 2):
        shift = torch.stack((shift[:, 1], -shift[:, 0]), 1)  # a quarter counterclockwise, y downwards
    turned = torch.tensor((0.5, 0.5)) + shift / scale
    rows = rows_at(maps, turned).unsqueeze(1).expand(-1, TURNS, -1)
    like = alike(looks_of(rows, points), maps, Metric())
    middle_cell = maps.size[0] // 2 * maps.size[1] + maps.size[1] // 2
    assert int(like.ways[0, 0, :, middle_cell].argmax()) == turn
    torch.testing.assert_close(like.shift[0, 0, turn], shift, atol=1e-4, rtol=0)


def test_a_thing_is_surer_the_more_it_is_alike() -> None:
    maps = lay_out(dense(), SIZE)
    rows = rows_at(maps, POINTS).unsqueeze(1).expand(-1, TURNS, -1)
    plain, half = (alike(looks_of(rows * times), maps, Metric()).centre.max() for times in (1.0, 0.5))
    assert plain - half == pytest.approx(VOTE * math.log(2), abs=0.1)


def test_a_prompt_with_looks_is_taken_apart_as_it_was_joined() -> None:
    meaning, rows = torch.randn(1, 3, 4), torch.randn(1, 3, TURNS, PATCH)
    place, known = torch.randn(1, 3, 2), torch.ones(1, 3, 1)
    least, share = torch.full((1, 1), 0.25), torch.full((1, 1), 0.5)
    instance = join(torch.randn(1, 4), torch.zeros(1, TURNS, PATCH), torch.rand(1, 2), least, share)
    keypoints = join(meaning, rows, place, torch.zeros(1, 3, 1), known)
    assert keypoints.shape[-1] == 4 + EXTRA
    _, back, looks = split(instance[None], keypoints[None], 4)
    assert looks is not None
    torch.testing.assert_close(back[0], meaning)
    torch.testing.assert_close(looks.rows[0], rows)
    assert torch.equal(looks.known[0], known[..., 0])
    assert (float(looks.least), float(looks.share)) == (0.25, 0.5)


@pytest.mark.parametrize("extra", (0, EXTRA))
@pytest.mark.parametrize("size", ((64, 96), (50, 70)))
def test_the_model_takes_prompts_of_both_kinds_and_any_size(extra: int, size: tuple[int, int]) -> None:
    config = replace(CONFIG, widths=XPoseConfig.eyes().widths)
    model = XPose(config).eval()
    instances, keypoints = torch.randn(2, 128 + extra), torch.randn(2, 3, 128 + extra)
    instances[:, 128:].sigmoid_()  # the last is a share
    with torch.no_grad():
        out = model(torch.randn(1, 3, *size), instances, keypoints)
    assert out.keypoints.shape == (1, 2, 3, 2)
    assert all(part.isfinite().all() for part in out.parts)
