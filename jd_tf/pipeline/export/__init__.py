"""Retrievers and coarse towers as version folders of a model server."""
