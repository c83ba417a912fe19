"""Fusions of objectives against each other and against fixed weights."""
