"""Losses, steps and whole trainings."""
