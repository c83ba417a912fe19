"""Layers between the logits of objectives and one score."""
