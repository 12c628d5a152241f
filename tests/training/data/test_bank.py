"""Banks of rendered pictures: what a shard holds, and that it is the same again."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from xpose_stream.engines.prompts.bank import find_skeletons
from xpose_stream.training.data.bank import WIDTH, render_shard
from xpose_stream.training.data.shard import Shard, read_shard, write_shard
from xpose_stream.training.world.category import CATEGORIES, TRAINED, UNSEEN
from xpose_stream.training.world.draw import Draw


def test_a_shard_is_determined_by_its_seed_and_survives_its_file(tmp_path) -> None:
    shard, again, other = (render_shard(Draw("train", seed), 2) for seed in (1, 1, 2))
    path = tmp_path / "shard-00000.npz"
    write_shard(path, shard)
    read = read_shard(path)
    assert len(read) == 2
    for name in [field.name for field in fields(Shard)]:
        np.testing.assert_array_equal(getattr(read, name), getattr(shard, name))
        np.testing.assert_array_equal(getattr(again, name), getattr(shard, name))
    assert read.picture(1).shape == (192, WIDTH, 3)
    assert sum(read.instances(i).stop - read.instances(i).start for i in range(2)) == len(read.box)
    assert not np.array_equal(other.keypoints, shard.keypoints)


def test_what_is_no_shard_is_refused_by_name(tmp_path) -> None:
    np.savez(tmp_path / "shard-00000.npz", jpeg=np.zeros(3))
    with pytest.raises(ValueError, match="lacks offsets"):
        read_shard(tmp_path / "shard-00000.npz")


def test_keypoints_are_as_many_as_the_skeleton_has_and_the_rest_is_empty() -> None:
    shard = render_shard(Draw("train", 4), 6)
    counts = np.array([len(skeleton.keypoints) for skeleton in find_skeletons(CATEGORIES)])
    assert tuple(shard.categories) == CATEGORIES
    assert shard.keypoints.shape[1] == counts.max()
    known = np.isfinite(shard.keypoints[..., :2]).all(axis=2)
    np.testing.assert_array_equal(known.sum(axis=1), counts[shard.category])
    assert (np.diff(known.astype(int), axis=1) <= 0).all()  # the empty rows come last
    assert (shard.keypoints[~known][:, 2] == 0).all()


def test_unseen_categories_are_in_no_bank_but_their_own() -> None:
    trained, unseen = {one.name for one in TRAINED}, {one.name for one in UNSEEN}
    shard = render_shard(Draw("train", 5), 6)
    assert all(set(shard.present(i)) <= trained for i in range(6))
    shard = render_shard(Draw("test", 5), 6, UNSEEN)
    assert sum(bool(set(shard.present(i)) & unseen) for i in range(6)) >= 5  # the first of a picture may be out of view
