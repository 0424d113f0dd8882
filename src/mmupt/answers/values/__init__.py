"""What an answer means, as a canonical key: what `equivalence.py` is made of. One kind of answer a file."""
