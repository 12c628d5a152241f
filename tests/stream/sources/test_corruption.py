"""Damaged files are read, counted or refused, never crash or hang; benchmarks/corruption.py does it 10 000 times."""

from __future__ import annotations

from benchmarks.corruption import attack


def test_damaged_files_are_read_counted_or_refused_in_a_process_that_survives() -> None:
    total, kinds, _ = attack(126)
    assert set(total) <= {"refused in a sentence", "read, damage counted", "read, no damage found"}
    assert len(kinds) == 6 and total.total() == 126
