"""What pages call the numbers of `metrics.jsonl` and of the guard's measurements, in the order of their curves."""

from __future__ import annotations

CHARTS = {
    "reward": "reward",
    "share": "majority share",
    "semantic_entropy": "semantic entropy",
    "unreadable": "unreadable answers",
    "truncated": "truncated responses",
    "length": "response length, tokens",
    "entropy": "token entropy",
    "kl": "KL to the reference",
    "reward/margin": "margin of rewards, chosen over rejected",
    "reward/accuracy": "pairs in the right order",
    "logprob/chosen": "log-prob of chosen responses",
    "logprob/rejected": "log-prob of rejected responses",
    "loss": "loss",
    "grad_norm": "gradient norm",
    "zero_signal_groups": "groups without signal",
    "ties": "tied votes",
    "flips": "changed majority answers",
    "left_out": "groups not learned from",
    "guard/top_answer": "largest share of one answer",
    "guard/answers_moved": "distance from the first answers",
    "guard/repetition": "repetition in responses",
    "lr_scale": "part of the learning rate",
}
SHARES = {"share", "unreadable", "truncated", "zero_signal_groups", "ties", "flips", "left_out", "reward/accuracy"}
SHARES |= {"guard/top_answer", "guard/answers_moved", "guard/repetition"}
ONLY_IF_IT_MOVES = {"left_out", "lr_scale", "guard/repetition"}  # a flat line would say nothing

MEASURED = {
    "score": "label-free score",
    "anchor_agreement": "agreement on the anchors",
    "anchor_majority": "anchors with the same majority",
    "watch_share": "majority share",
    "watch_top_answer": "largest share of one answer",
    "watch_answers_moved": "distance from the first answers",
    "watch_unreadable": "unreadable answers",
    "effective_rank": "effective rank",
}
MEASURED_SHARES = MEASURED.keys() - {"effective_rank"}
