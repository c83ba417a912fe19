"""Rankers of behaviour sequences."""
