"""What a recipe would take on GPUs that nobody has switched on yet: arithmetic, without torch."""
