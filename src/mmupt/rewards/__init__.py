"""What a rollout earns: one file a reward, all of them listed in `registry.py`."""
