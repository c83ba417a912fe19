"""Photos of the simulated products."""
