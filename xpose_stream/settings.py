"""YAML that people write: a key that is given twice is a mistake and not the second of two values."""

from __future__ import annotations

from typing import Any

import yaml


class GivenTwiceError(yaml.MarkedYAMLError):
    """`problem` says which key, and `problem_mark` where it is given again."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                before = first.setdefault((key.tag, key.value), key.start_mark)
                if before is not key.start_mark:
                    problem = f"the key {key.value} is given twice, first in line {before.line + 1}"
                    raise GivenTwiceError(problem=problem, problem_mark=key.start_mark)
        return node


def parse(text: str) -> Any:
    """The plain values in `text`. Raises yaml.YAMLError."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.MarkedYAMLError(problem="it is nested too deeply") from None
    except ValueError:
        raise yaml.MarkedYAMLError(problem="a date or number in it is none; put it in quotes") from None


def why(error: yaml.YAMLError) -> str:
    """What is wrong with it and in which line, without quoting the line, which may hold a password."""
    mark = getattr(error, "problem_mark", None)
    return f"{f'line {mark.line + 1}: ' if mark else ''}{getattr(error, 'problem', None) or 'damaged'}"
