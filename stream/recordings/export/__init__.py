"""Recordings in the files of other programs: a module for each format."""
