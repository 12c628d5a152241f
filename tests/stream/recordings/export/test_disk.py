"""Files of HDF5 on a disk that fills."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from xpose_stream.stream.recordings.export.disk import Lenient


def test_hdf5_reads_what_it_wrote_also_where_there_was_no_room_for_it(small_disk: Path) -> None:
    h5py = pytest.importorskip("h5py")
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(bytes(free - 200_000))
    values = np.random.default_rng(0).random((64, 8192), np.float32)
    disk = Lenient(small_disk / "file.h5")
    with h5py.File(disk, "w", rdcc_nbytes=1 << 16) as file:
        data = file.create_dataset("data", values.shape, np.float32, chunks=(1, 8192), compression="gzip")
        for half in (slice(0, 5000), slice(5000, 8192)):  # so that the others have left HDF5's cache in between
            data[:, half] = values[:, half]
        np.testing.assert_array_equal(data[:], values)
        with pytest.raises(OSError, match="No space left"):
            disk.check()
    with pytest.raises(OSError, match="No space left"):
        disk.close()
