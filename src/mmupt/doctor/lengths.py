"""Prompts that are longer than `prompt.max_tokens` with their pictures."""

from __future__ import annotations

from collections.abc import Iterator

from mmupt.data.images import picture_size
from mmupt.doctor.case import Case
from mmupt.doctor.finding import Finding, count, listed
from mmupt.errors import DataError, MmuptError
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.models.loading import load_family
from mmupt.sources import WORLD

_CHECKED = 5_000
"""Prompts a source, as in a run's own checks."""


def lengths(case: Case) -> Iterator[Finding]:
    """By the recipe's own tokenizer and picture limits; nothing is decoded."""
    recipe = case.recipe
    if recipe is None or recipe.model.path.startswith(WORLD):
        return
    try:
        family = load_family(recipe.model.path, recipe.model)
    except MmuptError:
        return  # told by `parts`
    for source in case.sources:
        if source.drawn or not source.rows:
            continue
        encoder, long, odd, smallest = PromptEncoder(family, source.prompt), [], [], None
        for prompt in source.prompts[:_CHECKED]:
            try:
                encoder.check_length(prompt)
            except PromptTooLong:
                long.append(prompt.id)
            except DataError as error:
                odd.append((prompt.id, str(error)))
            for image in prompt.images:
                width, height = picture_size(image)
                if smallest is None or width * height < smallest[1]:
                    smallest = (prompt.id, width * height)
        if long:
            skips = source.prompt.too_long == "skip"
            yield Finding(
                "lengths",
                "warning" if skips else "error",
                f"{source.place}: {count(len(long), 'prompt')} are longer than prompt.max_tokens = "
                f"{source.prompt.max_tokens} ({listed(long)})",
                None if skips else 'raise it, lower prompt.max_pixels, or set prompt.too_long = "skip"',
                tuple(long),
            )
        if odd:
            yield Finding(
                "lengths", "error" if source.stops else "warning",
                f"{source.place}: {count(len(odd), 'prompt')} cannot be put to the model: {odd[0][1]}",
                "mend the row" if source.stops else None, tuple(prompt_id for prompt_id, _ in odd),
            )  # fmt: skip
        if smallest is not None and smallest[1] < source.prompt.min_pixels / 16:
            yield Finding(
                "lengths", "warning",
                f"{source.place}: the smallest picture ({smallest[0]}) has {smallest[1]} pixels and is scaled up to "
                f"prompt.min_pixels = {source.prompt.min_pixels}",
                "lower prompt.min_pixels if all pictures are small: it costs tokens and shows nothing more",
            )  # fmt: skip
