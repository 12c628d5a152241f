"""Weights that others trained, read from their own files."""
