"""Where a run's figures go besides its run folder. `metrics.jsonl` is the truth; a sink is a copy for looking at."""
