"""The best constant fusion weights, by grid search."""
