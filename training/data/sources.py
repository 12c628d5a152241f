"""Data by its name on the command line: the folder of a bank, or an annotation file in COCO's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xpose_stream.training.data.coco import CocoFile, Problems
from xpose_stream.training.data.dataset import Bank, DataError
from xpose_stream.training.data.mixture import Mixture, Source


def open_sources(
    names: Sequence[str], problems: Problems = "skip", without: Sequence[str] = (), empty: bool = False
) -> Mixture:
    """The data of all names: `FOLDER` of a bank, `FILE.json`, or `FILE.json=FOLDER` where its pictures are elsewhere.

    What is malformed in annotation files is told on standard output, or refused. Categories in `without` are left out;
    `empty` keeps pictures without instances. Raises DataError.
    """
    sources: list[Source] = []
    for name in names:
        path, _, folder = name.partition("=")
        if Path(path).suffix != ".json":
            sources.append(Bank(path))
            continue
        file = CocoFile(Path(path), Path(folder) if folder else None, problems, empty)
        if file.problems:
            print(f"{path}: {len(file.problems)} entries were left out: {file.summary()}.")
            for problem in file.problems[:5]:
                print(f"  {problem}")
        sources.append(file)
    mixture = Mixture(sources, without)
    if not mixture.skeletons:
        raise DataError(f"There is no category to learn in {', '.join(names) or 'no data'}.")
    return mixture
