"""A recording written in the format of another program."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from rich.markup import escape

from xpose_stream.stream.recordings.export.formats import FORMATS, Format
from xpose_stream.stream.recordings.export.job import ExportError, Job
from xpose_stream.stream.recordings.progress import progress
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.recordings.unfinished import unfinished
from xpose_stream.stream.sinks.sink import claim


def export(
    recording: Recording,
    name: str,
    target: Path | None = None,
    *,
    step: Callable[[int], None] | None = None,
    **how: object,
) -> tuple[Path, list[str]]:
    """Write `recording` in the format `name` to `target`; return where it is and what the user should know.

    target: beside the recording, when None. step: of Job, in place of a bar on the terminal. how: `video`,
    `metres_per_pixel`, `plane` of Job. Raises ExportError, RecordingError, and SinkError when `target` exists or cannot
    be written.
    """
    if name not in FORMATS:
        why = ": 2-D keypoints give no rotations of bones" if name == "bvh" else ""
        raise ExportError(f"there is no format {name!r}{why}; there are {', '.join(FORMATS)}")
    form = FORMATS[name]
    target = claim(target or recording.path.with_suffix(form.suffix.rstrip("/")))
    beside = claim(target.with_name(target.name + form.beside)) if form.beside else None
    write = _writer(name, form)
    with progress(hidden=step is not None) as bar, unfinished(target) as partial:
        looking = bar.add_task(escape(f"looking at {recording.path.name}"), total=len(recording))
        writing = bar.add_task(escape(f"writing {target.name}"), total=len(recording))
        if form.folder:
            partial.mkdir()
        job = Job(recording, partial, step=step or (lambda rows: bar.advance(writing, rows)), **how)  # type: ignore[arg-type]
        job.look = lambda rows: bar.advance(looking, rows)
        write(job)
        if beside:
            with unfinished(beside) as note:
                note.write_text(job.beside, encoding="utf-8")
    return target, job.notes


def _writer(name: str, form: Format) -> Callable[[Job], None]:
    try:
        module = importlib.import_module(f"xpose_stream.stream.recordings.export.{name}")
    except ModuleNotFoundError as error:
        if not form.needs:
            raise
        missing = f"{name} needs the package {error.name}, which is not installed"
        raise ExportError(f"{missing}: pip install 'xpose-stream[{form.needs}]'") from None
    writer: Callable[[Job], None] = module.write
    return writer
