"""What a format's module is given to write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xpose_stream import __version__
from xpose_stream.error import UserError
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.recordings.rows import Integers
from xpose_stream.stream.recordings.survey import Survey, survey


class ExportError(UserError):
    """An export that cannot be made; the message is one sentence for the user."""


@dataclass
class Job:
    """One recording, to be written to `target`: a file, or a folder that is there already.

    video             what the recording was made of, if the user named it.
    metres_per_pixel  scale of the picture's plane in files that want metres.
    plane             file of points of the picture and where they are on a plane, m.
    step              to be called with numbers of rows that are written.
    look              is called with numbers of rows that have been looked at before.
    notes             sentences for the user, of what is not in the file as it was in the recording.
    beside            the text of the format's second file.
    """

    recording: Recording
    target: Path
    video: Path | None = None
    metres_per_pixel: float | None = None
    plane: Path | None = None
    step: Callable[[int], None] = lambda rows: None
    look: Callable[[int], None] = lambda rows: None
    notes: list[str] = field(default_factory=list)
    beside: str = ""

    @cached_property
    def survey(self) -> Survey:
        """What the recording holds."""
        return survey(self.recording, self.look)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: program, weights, prompts, tracker, sources, as far as the recording says."""
        told = self.recording.metadata
        made = json.loads(told.get("made", "{}"))
        prompts = [f"{prompt.name} (version {prompt.version})" for prompt in self.recording.prompts]
        tracker = {"tracker": json.loads(told["tracker"])} if "tracker" in told else {}
        smoothed = {"smoothed_from": told["smoothed"]} if "smoothed" in told else {}
        by = {"exported_by": f"xpose-stream {__version__}", "recording": self.recording.path.name, "prompts": prompts}
        return by | made | tracker | smoothed

    @cached_property
    def category_names(self) -> list[str]:
        """One for each category of the recording; those that only differ in their keypoints are numbered."""
        names = [category.name for category in self.recording.categories]
        return [f"{name}-{place}" if names.count(name) > 1 else name for place, name in enumerate(names)]

    def by_category(self, table: pa.Table) -> Iterator[tuple[int, Integers, pa.Table]]:
        """The rows with a track: of each category its place, which rows they are, and a table of them."""
        kinds = self.recording.category_of(table)
        for kind in np.unique(kinds[kinds >= 0]).tolist():
            rows = np.flatnonzero(kinds == kind)
            yield kind, rows, table.take(pa.array(rows))

    def by_camera(self, table: pa.Table) -> Iterator[tuple[str, int, pa.Table]]:
        """The rows with a track: of each camera and category the camera's name, the category's place and a table."""
        for name in table["camera"].unique().to_pylist():
            for kind, _, part in self.by_category(table.filter(pc.equal(table["camera"], name))):
                yield name, kind, part


def file_name(text: str) -> str:
    """`text` as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "unnamed"
