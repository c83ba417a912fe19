"""Pairs of items, counted from training records."""
