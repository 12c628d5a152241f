"""The schema, the documentation, the messages and the recordings say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given

from tests.stream.scene import message_of
from tests.stream.sinks.test_messages import messages
from xpose_stream.stream.schema import schema
from xpose_stream.stream.sinks.columns import SCHEMA
from xpose_stream.stream.sinks.messages import Category, TrackMessage, TracksMessage, encode, unit

DOCS = Path(__file__).parents[2] / "docs"
WORDS = {"int": "integer", "float": "number", "string": "string", "list": "array", "map": "object", "[": "array"}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


@given(message=messages())
def test_every_message_fits_the_schema(validator: jsonschema.Draft202012Validator, message: TracksMessage) -> None:
    validator.validate(json.loads(encode(message, "json")))


def test_what_is_no_message_does_not_fit(validator: jsonschema.Draft202012Validator) -> None:
    message = json.loads(encode(message_of(0), "json"))
    validator.validate(message | {"added_later": 1})
    for wrong in ({"version": 2}, {"camera": 3}, {"clock": "sun"}, {"tracks": [{}]}):
        assert not validator.is_valid(message | wrong)


def test_the_schema_in_the_documentation_is_the_one_that_the_command_prints() -> None:
    assert json.loads((DOCS / "messages.schema.json").read_text()) == schema()


@pytest.mark.parametrize("kind", [TracksMessage, Category, TrackMessage])
def test_types_and_units_in_the_documentation_are_those_of_the_schema(kind: type[msgspec.Struct]) -> None:
    text = (DOCS / "messages.md").read_text()
    for field in msgspec.structs.fields(kind):
        rows = re.findall(rf"^\| `{field.name}` \| (.*?) \| (.*?) ?\| ", text, re.MULTILINE)
        defined = schema()["$defs"][kind.__name__]["properties"][field.name]
        fits = [(told, of) for told, of in rows if of == defined.get("unit", "").replace("^2", "²")]
        assert fits and any(kind_of(defined) == WORDS[re.match(r"\[|\w+", told)[0]] for told, _ in fits), field.name  # type: ignore[index]
        assert unit(kind, field.name) == defined.get("unit", "")


def kind_of(defined: dict[str, Any]) -> str:
    for choice in [defined, *defined.get("anyOf", [])]:
        if "$ref" in choice:
            return "object"
        if "enum" in choice:
            return "string"
        if "const" in choice:
            return "integer"
        if "type" in choice:
            return str(choice["type"])
    raise AssertionError(defined)


def test_recordings_have_the_units_that_the_documentation_tells() -> None:
    text = (DOCS / "recordings.md").read_text()
    for field in SCHEMA:
        [told] = re.findall(rf"^\| `{field.name}` \| .*? \| (.*?) ?\| ", text, re.MULTILINE)
        assert field.metadata[b"unit"].decode() == told, field.name
