"""Where the answer of a free response stands: what `extract.py` is made of in its mode "lenient"."""
