"""Data flows one way, and so do imports."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From the ground up; a module may import what stands before it, and its own room.
ORDER = """error settings trackers engines.shipped engines.tensorfile engines.resize engines.xpose engines.checkpoint
engines.prompts engines.backends engines training.world training.data training.exam training.learning
training.pretrained training.teachers stream.sources stream.sinks stream.recordings stream.finds stream.ledger stream
stream.watch stream.page stream.outputs stream.session stream.demo stream.fleet found prompting live picture recorded
options stream.commands stream.fleet.commands stream.recordings.commands engines.commands training.commands
run_stream""".split()  # noqa: SIM905


def imports() -> dict[str, set[str]]:
    """Of every module and package those that it imports, without the package's name."""
    package = ROOT / "xpose_stream"
    paths = [path for room in package.iterdir() for path in (room.rglob("*.py") if room.is_dir() else [room])]
    dotted = {path: ".".join(path.relative_to(package).with_suffix("").parts) for path in paths if path.suffix == ".py"}
    names = {path: name.removesuffix(".__init__") for path, name in dotted.items() if name != "__init__"}
    found: dict[str, set[str]] = {name: set() for name in names.values()}
    for path, name in names.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("xpose_stream."):
                module = str(node.module).removeprefix("xpose_stream.")
                parts = {f"{module}.{alias.name}" for alias in node.names}
                found[name] |= {part if part in found else module for part in parts} - {name}
    return found


def rank(module: str) -> int:
    return ORDER.index(max((room for room in ORDER if f"{module}.".startswith(f"{room}.")), key=len))


def test_nothing_is_imported_in_a_circle_or_upwards() -> None:
    found = imports()
    assert len(found) > 150 and sum(map(len, found.values())) > 400
    TopologicalSorter(found).prepare()  # raises CycleError
    assert not [(name, each) for name, wanted in found.items() for each in wanted if rank(each) > rank(name)]
