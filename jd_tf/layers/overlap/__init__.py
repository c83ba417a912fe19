"""Layers that compare candidates with the events of a history."""
