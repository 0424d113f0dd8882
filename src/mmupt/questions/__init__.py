"""Text in, question out: what a model asks, and whether two questions are the same. No torch."""
