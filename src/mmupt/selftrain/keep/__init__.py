"""The rules of `targets`, one a file: which of the model's own responses are worth imitating."""
