from __future__ import annotations

import json
import pwd
from pathlib import Path

import pytest

from xpose_stream.engines.cache import EngineCache, default_folder

KEY = {"backend": "openvino", "shapes": "1x3x144x192", "versions": "torch 2.13"}


def write(content: bytes):
    return lambda path: path.write_bytes(content)


def never(path: Path) -> None:
    raise AssertionError("built again")


def test_what_was_built_is_given_again(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    path = cache.get(KEY, write(b"engine"))
    assert path.read_bytes() == b"engine"
    assert EngineCache(tmp_path).get(dict(reversed(KEY.items())), never) == path


def test_another_key_is_another_engine(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    first = cache.get(KEY, write(b"first"))
    second = cache.get(KEY | {"versions": "torch 2.12"}, write(b"second"))
    assert (first.read_bytes(), second.read_bytes()) == (b"first", b"second")
    assert {built.size for built in cache} == {5, 6}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"engi"),  # cut short
        lambda path: path.write_bytes(b"enginf"),  # as long, but another
        lambda path: path.unlink(),
        lambda path: path.with_suffix(".json").unlink(),  # killed between the two files
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text(json.dumps({"key": {"backend": "other"}})),
    ],
)
def test_a_damaged_or_foreign_engine_is_built_again(tmp_path: Path, spoil) -> None:
    cache = EngineCache(tmp_path)
    spoil(cache.get(KEY, write(b"engine")))
    assert list(cache) == []
    assert cache.get(KEY, write(b"engine")).read_bytes() == b"engine"
    assert len(list(cache)) == 1


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        EngineCache(tmp_path).get(KEY, fail)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_users_cache_or_the_one_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("XPOSE_CACHE", raising=False)
    assert default_folder() == tmp_path / "xpose-stream"
    monkeypatch.setenv("XPOSE_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"


def test_a_user_without_a_home_has_no_folder_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])
    for name in ("XPOSE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_folder() is None
    cache = EngineCache()
    assert list(cache) == []
    with pytest.raises(OSError, match="no home folder"):
        cache.get(KEY, write(b"engine"))
