"""Synthetic world, data, losses, training and evaluation."""
