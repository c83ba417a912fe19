"""Training of fusion weights, apart from the main network."""
