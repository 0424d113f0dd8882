"""The rules of `pairs`, one a file: which of two responses to a prompt is to become likelier."""
