"""Layers whose weights follow the scenario of a request."""
