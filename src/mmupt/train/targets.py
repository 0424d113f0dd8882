"""What a row wants the model to write, as the tokens it would write it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmupt.errors import DataError
from mmupt.models.families.base import Family
from mmupt.types import LabeledPrompt, PreferencePair


def target_texts(row: LabeledPrompt | PreferencePair) -> dict[str, str]:
    """Field to text: the worked chain, or the answer in a box where there is none; of a pair both responses, the chosen
    one first.

    >>> from mmupt.types import Prompt
    >>> target_texts(LabeledPrompt(Prompt(id="1", question="2+2?"), answer="4"))
    {'answer': '\\\\boxed{4}'}
    """
    if isinstance(row, PreferencePair):
        return {"chosen": row.chosen, "rejected": row.rejected}
    if row.solution is not None:
        return {"solution": row.solution}
    return {"answer": f"\\boxed{{{row.answer}}}"}


@dataclass(frozen=True, slots=True)
class TargetEncoder:
    """Turns a row's texts into token ids, each with the token that closes a turn behind it. `reserved` are the texts of
    tokens that cannot stand within a response: those that end one, and those the model never writes, such as a
    picture's placeholder."""

    tokenizer: Any
    turn_end: int
    reserved: tuple[str, ...]

    @classmethod
    def of(cls, family: Family) -> TargetEncoder:
        ids = sorted(family.end_ids.union(family.banned_ids))
        texts = family.tokenizer.convert_ids_to_tokens(ids)  # None for ids behind the tokenizer's last one
        return cls(family.tokenizer, family.turn_end, tuple(text for text in texts if text))

    def __call__(self, row: LabeledPrompt | PreferencePair) -> list[list[int]]:
        """The ids of each of `target_texts`, at least one a text. DataError as `check`."""
        self.check(row)
        return [
            [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.turn_end]
            for text in target_texts(row).values()
        ]

    def check(self, row: LabeledPrompt | PreferencePair) -> None:
        """DataError, naming the row, where a reserved token stands in a text: it would be read as the end of the turn
        or as a picture."""
        for name, text in target_texts(row).items():
            for token in self.reserved:
                if token in text:
                    raise DataError(
                        f"row {row.prompt.id}: {name}: the text holds {token!r}, which the model reserves; remove it "
                        "from the row (the token that ends a response is added by itself)"
                    )
