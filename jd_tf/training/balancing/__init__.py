"""Weights of objectives in the loss: fixed ones and three that learn."""
