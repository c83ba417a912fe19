"""Batches become weights: losses, optimizer, loop, checkpoints."""
