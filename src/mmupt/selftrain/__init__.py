"""Rows that the model makes for itself, which a later `sft` or `dpo` stage learns from: the baselines of MM-UPT's paper
(arXiv 2505.22453) as two kinds of stage, `targets` and `pairs`."""
