"""Questions that the model writes for itself (MM-UPT, arXiv 2505.22453, section on synthetic questions)."""
