"""Neighbours of items in embeddings, beside their photos."""
