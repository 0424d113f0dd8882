"""`[algo]`: GRPO. Defaults are the paper's code (arXiv 2505.22453; FIELD: clip 0.2/0.3, dual clip 3, k3 at 0.01).
`[preference]`: DPO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmupt.settings import Settings

AttentionKind = Literal["auto", "split", "varlen", "flex", "dense"]
"""How a packed row attends to itself; `algo/attention` has a file for each."""


class AlgoSettings(Settings):
    """`mask_answer` takes the tokens of the final answer out of the loss (OM-GRPO, arXiv 2608.03119): what a vote pays
    for is then learned in the reasoning alone. `kl_tokens = "covariance"` holds only those `kl_fraction` of an update's
    tokens to the reference whose log-prob and advantage vary together the most (arXiv 2505.22617): few tokens that are
    likely already and are paid for take most of the entropy away."""

    advantage: Literal["std", "mean", "leave_one_out"] = "std"
    aggregation: Literal["token_mean", "sequence_mean", "constant"] = "token_mean"
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.3, gt=0)
    dual_clip: float | None = Field(default=3.0, gt=1)
    kl_coef: float = Field(default=0.01, ge=0)
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    kl_importance: bool = False  # weigh each token's KL by pi / pi_old (arXiv 2512.02556); the paper does not
    kl_tokens: Literal["all", "covariance"] = "all"
    kl_fraction: float = Field(default=0.02, gt=0, le=1)  # of tokens, where kl_tokens is "covariance"
    skip_silent: bool = False  # under KL, leave out groups without advantages: not exact (without KL they always are)
    importance_cap: float | None = Field(default=None, gt=0)
    mask_answer: bool = False

    @model_validator(mode="after")
    def _tokens_of_a_kl_term(self) -> AlgoSettings:
        if self.kl_tokens == "covariance" and self.kl_coef == 0:
            raise ValueError('kl_tokens "covariance" chooses tokens for a KL term, but kl_coef is 0; set kl_coef > 0')
        return self


class PreferenceSettings(Settings):
    """DPO with its authors' beta (arXiv 2305.18290). `label_smoothing` is the share of pairs believed to be the wrong
    way round (conservative DPO, E. Mitchell, "A note on DPO with noisy preferences", 2023). The loss is `weight` times
    the preference term and `sft_weight` times the mean negative log-prob of a token of the chosen response: RPO's alpha
    (arXiv 2404.19733); MPO (arXiv 2411.10442) has 0.8 and 1.0, and a third term that is not here."""

    beta: float = Field(default=0.1, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    weight: float = Field(default=1.0, gt=0)
    sft_weight: float = Field(default=0.0, ge=0)
