"""A prompt bank or prompt file for people to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from xpose_stream.engines.prompts.bank import PromptBank
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.prompts.skeleton import Skeleton


def print_bank(bank: PromptBank) -> None:
    """Print what made a bank, and a table for every category."""
    width = bank.instances.shape[-1]
    print(f"{bank.name}, version {bank.version}: {width} numbers each from {bank.encoder} of weights {bank.weights}")
    for skeleton, mask in zip(bank.skeletons, bank.keypoint_mask.tolist(), strict=True):
        Console(markup=False, emoji=False).print(
            _table(skeleton, ["yes" if known else "no" for known in mask], "embedded")
        )


def print_prompt(prompt: Prompt) -> None:
    """Print how a prompt is given, and its table."""
    print(f"{prompt.skeleton.category}, given in {prompt.kind} ({len(prompt.examples)} examples)")
    none = np.zeros(len(prompt.skeleton.keypoints), int)
    counts = sum((example.present.astype(int) for example in prompt.examples), none)
    Console(markup=False, emoji=False).print(_table(prompt.skeleton, [str(count) for count in counts], "examples"))


def _table(skeleton: Skeleton, column: Sequence[str], title: str) -> Table:
    """Keypoints with the names they are joined to, their mirror image and their sigma."""
    names = skeleton.keypoints
    mirror = {a: b for pair in skeleton.pairs for a, b in (pair, pair[::-1])}
    table = Table(title=skeleton.category, title_justify="left")
    for heading in ("#", "keypoint", "edges to", "mirror image", "sigma", title):
        table.add_column(heading)
    for i, (name, said) in enumerate(zip(names, column, strict=False)):
        joined = [names[b if a == i else a] for a, b in skeleton.edges if i in (a, b)]
        table.add_row(
            str(i), name, ", ".join(joined), names[mirror[i]] if i in mirror else "", f"{skeleton.sigmas[i]:.3f}", said
        )
    return table
