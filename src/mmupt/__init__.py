"""mmupt: vision-language models that keep improving without labels (MM-UPT, arXiv 2505.22453)."""

__version__ = "0.1.0"
