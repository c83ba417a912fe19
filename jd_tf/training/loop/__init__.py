"""The training loop: steps in the graph, and what happens between them."""
