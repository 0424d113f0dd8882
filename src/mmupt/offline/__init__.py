"""Grading and voting of responses that any engine has sampled: a file in, verdicts out. No model, no torch."""
