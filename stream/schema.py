"""The messages' JSON Schema, made from their types."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from xpose_stream.stream.sinks.messages import VERSION, TracksMessage


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a TracksMessage; what has a unit says it under "unit". Fields may be added later."""
    made = msgspec.json.schema(TracksMessage)
    for kind in made["$defs"].values():
        kind["description"] = inspect.cleandoc(kind["description"])
    message = made["$defs"]["TracksMessage"]
    message["properties"]["version"] = {"const": VERSION}
    message["required"].insert(0, "version")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "xpose-stream tracks", **made}
