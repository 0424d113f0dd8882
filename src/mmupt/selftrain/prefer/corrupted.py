"""STIC's first stage (arXiv 2405.19716): a good description over a poor one.

The paper corrupts the picture for half of the rejected descriptions. In the authors' published script the corrupted
picture is announced in the row but not handed to the model, so that those descriptions are a plain prompt's about the
clean picture; here the picture is corrupted.
"""

from __future__ import annotations

from mmupt.selftrain.heard import Heard
from mmupt.selftrain.prefer.base import Preference, Preferences, PreferRule, different, nothing


class GoodOverPoor(PreferRule):
    """One pair a prompt: the first of its two responses over the second."""

    name = "corrupted"

    def prefer(self, heard: Heard) -> Preferences:
        if not (heard.whole(0) and heard.whole(1)):
            return nothing("cut off")
        good, poor = (response.text.strip() for response in heard.responses)
        return different([Preference(good, poor, {"how": heard.how or ""})])
