"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpose_stream.stream.sinks.sink import SinkError, beside, unwritable


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Where to write what takes the place of `target` when the block ends, and goes away when the block fails.

    Raises SinkError for what the system says meanwhile, for example of a full disk.
    """
    partial = beside(target)
    _remove(partial)
    try:
        yield partial
        os.replace(partial, target)
    except OSError as error:
        raise unwritable(target, error) from None
    except SinkError as error:
        raise SinkError(str(error).replace(str(partial), str(target))) from None
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
