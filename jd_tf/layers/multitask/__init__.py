"""Layers that share experts among objectives."""
