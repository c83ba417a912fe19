"""Models of other libraries on our requests."""
