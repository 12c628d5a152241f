"""filterpy works in the product, and what it could draw is not needed for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from xpose_stream.stream.site import Site


def test_the_reference_is_a_tracker_to_choose() -> None:
    assert Site.of("a.mp4", tracker="reference").tracker == {"filter": "reference"}


def test_the_filters_need_no_matplotlib() -> None:
    program = "import sys; sys.modules['matplotlib'] = None; import xpose_stream.trackers.tracker"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True)
