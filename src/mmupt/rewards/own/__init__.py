"""Rewards that a user brings along: named in a recipe, loaded because they are named there, and for no other reason."""
