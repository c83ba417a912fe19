"""Fine rankers, one a file."""
