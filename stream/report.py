"""What a run did, for a person to read."""

from __future__ import annotations

from rich.table import Table

from stream.ledger import Ledger


def table_of(ledger: Ledger, title: str) -> Table:
    """Frames by fate and latencies by stage."""
    numbers = ledger.as_dict()
    table = Table(title=title, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("frames received", str(ledger.received))
    table.add_row("frames published", str(ledger.published))
    for reason, count in sorted(ledger.dropped.items()) or [("for any reason", 0)]:
        table.add_row(f"frames dropped: {reason}", str(count))
    for stage, latency in numbers["latency_ms"].items():
        quantiles = " / ".join(f"{latency[q]:.1f}" for q in ("p50", "p95", "p99"))
        table.add_row(f"{stage}: p50 / p95 / p99", f"{quantiles} ms")
    return table
