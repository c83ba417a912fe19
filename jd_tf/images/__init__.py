"""The image tower: fine-tune it on product words, embed photos."""
