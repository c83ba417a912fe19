"""Statistics of behaviour logs, computed in one way for all of them."""
