import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from xpose_stream.training.data.batches import augment, batches, collate, normalise, random_window
from xpose_stream.training.data.dataset import Bank, DataError
from xpose_stream.training.data.geometry import corners
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.picture import crop
from xpose_stream.training.data.shard import read_shard, write_shard

SIDES = 144, 192


def take(stream, count):
    return [next(stream) for _ in range(count)]


def test_a_batch_has_images_of_one_size_and_targets_within_them(stick_bank):
    bank = Mixture([Bank(stick_bank)])
    shapes = set()
    for batch in take(batches(bank, 4, SIDES, seed=0), 12):
        targets = batch.targets
        height, width = targets.size
        shapes.add(targets.size)
        assert batch.images.shape == (4, 3, height, width)
        assert batch.images.isfinite().all()
        real = targets.real | targets.ignore
        low, high = corners(targets.boxes).split(2, -1)
        assert (low[real] > -1e-5).all()
        assert (high[real] < 1 + 1e-5).all()
        seen = targets.keypoints[targets.visibility > 0]
        assert ((seen >= 0) & (seen <= 1)).all()
        assert not (targets.real & targets.ignore).any()
    assert len(shapes) > 1


def test_the_same_seed_and_place_give_the_same_batch(stick_bank):
    bank = Mixture([Bank(stick_bank)])
    third = take(batches(bank, 4, SIDES, seed=3), 3)[2]
    again = take(batches(bank, 4, SIDES, seed=3), 3)[2]
    other = take(batches(bank, 4, SIDES, seed=4), 3)[2]
    assert torch.equal(third.images, again.images)
    assert third.images.shape != other.images.shape or not torch.equal(third.images, other.images)


def test_a_training_that_goes_on_gets_the_batches_it_would_have_got(stick_bank):
    bank = Mixture([Bank(stick_bank)])
    whole = take(batches(bank, 4, SIDES, seed=3), 13)  # 10 in a pass
    for behind in (2, 9, 11):
        rest = take(batches(bank, 4, SIDES, seed=3, seen=4 * behind), 13 - behind)
        for a, b in zip(whole[behind:], rest, strict=True):
            assert torch.equal(a.images, b.images) and torch.equal(a.targets.boxes, b.targets.boxes)


def test_processes_share_the_pictures_of_a_pass(stick_bank):
    class Watched(Bank):
        def __getitem__(self, index):
            self.drawn = [*getattr(self, "drawn", []), int(index)]
            return super().__getitem__(index)

    drawn, shapes = [], []
    for rank in (0, 1):
        bank = Watched(stick_bank)
        stream = batches(Mixture([bank]), 5, SIDES, seed=1, rank=rank, ranks=2)
        shapes.append([batch.targets.size for batch in take(stream, 4)])
        drawn += bank.drawn[:20]
    assert sorted(drawn) == list(range(40))
    assert shapes[0] == shapes[1]  # the processes wait for each other, so their steps are alike


def test_nothing_works_on_once_the_batches_are_closed(stick_bank):
    """What still computes when the interpreter ends aborts the process."""

    def working():
        return [thread for thread in threading.enumerate() if thread.name == "batches"]

    before = working()
    stream = batches(Mixture([Bank(stick_bank)]), 4, SIDES, seed=0)
    next(stream)
    assert len(working()) == len(before) + 1
    stream.close()
    assert working() == before


def test_shards_that_appear_later_join_the_next_pass(tmp_path, stick_bank):
    shutil.copy(stick_bank / "shard-00000.npz", tmp_path)
    bank = Bank(tmp_path)
    assert len(bank) == 20
    shutil.copy(stick_bank / "shard-00001.npz", tmp_path)
    bank.refresh()
    assert len(bank) == 40
    assert np.array_equal(bank[25].rgb, Bank(stick_bank)[25].rgb)


def test_a_folder_without_shards_is_refused_and_so_is_too_small_a_bank(tmp_path, stick_bank):
    with pytest.raises(DataError, match="no shard"):
        Bank(tmp_path)
    with pytest.raises(DataError, match="fewer than"):
        next(batches(Mixture([Bank(stick_bank)]), 64, SIDES, seed=0))


@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: data[:4000], lambda data: data[:400] + data[500:]])
def test_a_damaged_shard_is_refused(tmp_path, stick_bank, harm):
    shard = tmp_path / "shard-00000.npz"
    shard.write_bytes(harm((stick_bank / shard.name).read_bytes()))
    with pytest.raises(DataError, match=r"shard-00000\.npz cannot be read"):
        Bank(tmp_path)


def test_a_damaged_picture_of_a_shard_may_be_left_out(tmp_path, stick_bank):
    shard = read_shard(stick_bank / "shard-00000.npz")
    shard.jpeg[shard.offsets[1] : shard.offsets[2]] = 0
    write_shard(tmp_path / "shard-00000.npz", shard)
    bank = Mixture([Bank(tmp_path)])
    assert bank.readable(0) is not None and bank.readable(1) is None


def test_banks_are_read_where_nothing_can_be_rendered():
    without = "import sys; sys.modules['mujoco'] = None; import xpose_stream.training.learning.train"
    subprocess.run([sys.executable, "-c", without], cwd=Path(__file__).parents[3], check=True)


def test_a_window_has_the_aspect_of_the_image_and_meets_the_picture():
    rng = np.random.default_rng(0)
    for _ in range(200):
        x0, y0, x1, y1 = random_window((192, 256), (108, 192), rng)
        assert 0.85 * 16 / 9 < (x1 - x0) / (y1 - y0) < 1.15 * 16 / 9
        assert x0 < 256 and y0 < 192 and x1 > 0 and y1 > 0


def test_images_are_normalised_as_imagenet_is():
    grey = normalise(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8))
    expected = (1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225
    assert torch.allclose(grey[0, :, 0, 0], torch.tensor(expected))


def test_ignored_people_are_targets_of_their_own_kind(stick_bank):
    picture = crop(Bank(stick_bank)[0], (0, 0, 256, 192), (144, 192))
    picture.ignore[:] = True
    targets = collate([picture], np.ones((1, 1), bool)).targets
    assert not targets.real.any()
    assert targets.ignore.sum() == len(picture.boxes)


def test_a_view_keeps_the_classes_and_the_number_of_keypoints(stick_bank):
    rng = np.random.default_rng(0)
    picture = augment(Bank(stick_bank)[1], (144, 192), np.arange(17)[None], rng)
    assert picture.rgb.shape == (144, 192, 3)
    assert picture.keypoints.shape[1:] == (17, 3)
