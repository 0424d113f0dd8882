"""What a stage does: one file a kind, all of them listed in `kinds.py`."""
