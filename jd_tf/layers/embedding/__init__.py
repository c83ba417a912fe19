"""Layers that turn ids, numbers and texts into vectors."""
