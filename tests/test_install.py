"""Installed, it takes one name, works beside any other files, and has its weights, skeletons and clips."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

import xpose_stream
from xpose_stream.engines import NANO

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "xpose_stream"
BUILD = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check")

# What a user's own folder may hold; that none of it is imported shows when nothing is raised.
OTHERS = ("stream", "engines", "trackers", "training", "configs", "run_stream", "error", "tests")

LOOK = """
from importlib.metadata import packages_distributions
print(*[name for name, owners in packages_distributions().items() if "xpose-stream" in owners])

import xpose_stream
print(xpose_stream.__file__)

import xpose_stream.stream.session, xpose_stream.training.commands
from xpose_stream.engines import DEFAULT, load
from xpose_stream.engines.prompts.bank import SKELETONS, Skeleton
from xpose_stream.stream.prepare import CLIP
print(len(Skeleton.load(SKELETONS / "person.yaml").keypoints), load(DEFAULT).model.config.backbone, CLIP.is_file())
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installation needs of this repository: a build leaves its files there and not here."""
    clone = tmp_path_factory.mktemp("clone")
    rooms = [link.resolve() for link in PACKAGE.iterdir() if link.is_symlink()]
    for path in [*rooms, PACKAGE, *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"))]:
        if path.is_dir():
            shutil.copytree(path, clone / path.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, clone)
    return clone


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *BUILD, "--wheel-dir", folder, clone], check=True)
    (wheel,) = folder.iterdir()
    return wheel


def environment(folder: Path, *wanted: str | Path) -> Path:
    """A new virtual environment's bin/ with this one's packages, but xpose-stream as pip installs what is `wanted`."""
    venv.create(folder, symlinks=True)
    here = Path(sysconfig.get_path("purelib"))
    there = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    for entry in here.iterdir():
        if "xpose_stream" not in entry.name:
            (there / entry.name).symlink_to(entry)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", *BUILD, "--no-compile", *wanted], check=True)
    return folder / "bin"


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_it_works_outside_of_the_repository_beside_files_of_any_name(
    kind: str, clone: Path, wheel: Path, tmp_path: Path
) -> None:
    bin = environment(tmp_path / "venv", *([wheel] if kind == "wheel" else ["--editable", clone]))
    (tmp_path / "work").mkdir()
    for name in OTHERS:
        (tmp_path / "work" / f"{name}.py").write_text(f"raise ImportError('{name}.py is of the user')")
    place: dict[str, Any] = {"cwd": tmp_path / "work", "env": os.environ | {"PYTHONPATH": str(tmp_path / "work")}}
    looked = subprocess.run([bin / "python", "-c", LOOK], capture_output=True, text=True, **place)
    assert looked.stderr == ""
    names, where, data = looked.stdout.splitlines()
    assert names == "xpose_stream"
    assert Path(where).is_relative_to(clone if kind == "editable" else tmp_path / "venv")
    assert data == "17 mobilenet True"
    said = subprocess.run([bin / "xpose-stream", "--version"], capture_output=True, text=True, **place)
    assert (said.stdout, said.stderr) == (f"xpose-stream {xpose_stream.__version__}\n", "")


def test_the_wheel_holds_each_file_of_the_package_once_but_for_weights_of_before(wheel: Path) -> None:
    rooms = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    paths = [path for room in rooms for path in room.rglob("*")] + list(PACKAGE.iterdir())
    wanted = [path for path in paths if path.is_file() and path.parent.name != "__pycache__" and path != NANO]
    files = sorted(str(path.relative_to(ROOT)) for path in wanted)
    with zipfile.ZipFile(wheel) as opened:
        held = sorted(name for name in opened.namelist() if ".dist-info/" not in name)
    assert held == files and len(files) > 200
