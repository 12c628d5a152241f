"""The columns of a recording. docs/recordings.md describes them."""

from __future__ import annotations

import pyarrow as pa

from xpose_stream.stream.sinks.given import COLUMNS
from xpose_stream.stream.sinks.messages import TrackMessage, TracksMessage, unit


def _columns() -> list[pa.Field]:
    text, whole, real, single = pa.string(), pa.int64(), pa.float64(), pa.float32()
    numbers = pa.list_(single)
    frame = {"camera": text, "frame": whole, "sequence": whole, "pts": real, "captured_at": real, "clock": text}
    frame |= {"clock_uncertainty": real, "epoch": whole, "published_at": real, "latency_ms": single}
    frame |= {"predicted_time": real, "width": pa.int32(), "height": pa.int32(), "image": text}
    columns = [(name, kind, unit(TracksMessage, name)) for name, kind in frame.items()]
    columns += [("prompt", text, ""), ("prompt_version", whole, "")]
    track = {"track_id": ("id", whole), "category": ("category", text), "category_id": ("category", whole)}
    track |= {"score": ("score", single), "status": ("status", text), "age": ("age", real)}
    track |= {f"box_{side}": ("box", single) for side in ("x0", "y0", "x1", "y1")}
    track |= {f"keypoint_{axis}": ("keypoints", numbers) for axis in "xy"}
    track |= {"keypoint_status": ("keypoint_status", pa.list_(text))}
    track |= {f"velocity_{axis}": ("velocities", numbers) for axis in "xy"}
    track |= {f"covariance_{axes}": ("covariances", numbers) for axes in ("xx", "xy", "yy")}
    track |= {f"measured_{axis}": ("measured", numbers) for axis in "xy"}
    track |= {"keypoint_score": ("keypoint_scores", numbers)}
    track |= {f"predicted_{axis}": ("predicted", numbers) for axis in "xy"}
    track |= {f"predicted_covariance_{axes}": ("predicted_covariances", numbers) for axes in ("xx", "xy", "yy")}
    columns += [(name, kind, unit(TrackMessage, field)) for name, (field, kind) in track.items()]
    return [pa.field(name, kind, metadata={"unit": unit}) for name, kind, unit in columns]


SCHEMA = pa.schema(_columns(), metadata={"recording_version": "1"})
DETECTED = pa.schema([*SCHEMA, *COLUMNS], metadata=SCHEMA.metadata)  # with what the tracker was given
TEXTS = ["camera", "image", "clock", "prompt", "category", "status", "keypoint_status.list.element"]


def completed(table: pa.Table) -> pa.Table:
    """The rows with the columns that recordings of earlier versions lack."""
    for field in SCHEMA:
        if field.name.startswith(("predicted", "keypoint_score", "image")) and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table
