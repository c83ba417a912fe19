"""Writes and verifies SavedModels for a model server."""
