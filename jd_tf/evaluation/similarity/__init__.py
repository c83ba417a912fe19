"""Whether what looks alike lies close in an embedding."""
