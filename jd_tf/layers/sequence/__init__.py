"""Layers over behaviour sequences."""
