"""Before a run: is training toward the vote likely to help, by how much, and on which prompts? No labels anywhere
but in `truth.py` and `fitting.py`, which only look back."""
