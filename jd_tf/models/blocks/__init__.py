"""Parts that models are built from; they take plain arguments."""
