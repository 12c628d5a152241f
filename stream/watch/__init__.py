"""What a person is shown of a run: the table, figures for Prometheus, the check before it."""
