from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ARENAS = """
import ctypes, sys, threading
from xpose_stream.stream.heap import share_arenas
if sys.argv[2] == "shared":
    share_arenas()
begun = threading.Barrier(8)
def work():
    kept = bytearray(100_000)
    begun.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.parametrize(("how", "fewest", "most"), [("shared", 1, 2), ("own", 3, 99)])
def test_eight_threads_share_two_arenas(how: str, fewest: int, most: int, tmp_path: Path) -> None:
    told = tmp_path / "arenas.xml"
    subprocess.run([sys.executable, "-c", ARENAS, str(told), how], check=True, timeout=60)
    assert fewest <= told.read_text().count("<heap nr=") <= most
