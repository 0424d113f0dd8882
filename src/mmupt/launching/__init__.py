"""Runs that somebody else than torchrun starts, on machines that it looks after."""
