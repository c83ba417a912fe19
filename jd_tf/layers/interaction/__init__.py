"""Layers that multiply features with each other."""
