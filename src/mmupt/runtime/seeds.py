"""Counted randomness: every random draw of a run has a name, and the name gives the seed.

A rollout's seed comes from (run seed, prompt id, visit, index). No generator is carried along, so a run that was
killed and resumed samples exactly what it would have sampled, whatever the order and the batches.
"""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) that depends on every part, on their order and on their types.

    Each part is hashed (BLAKE2b) as one type byte, the length of its text as 8 bytes big-endian, and its text in
    UTF-8 (an integer in decimal), so that neither ("ab", "c") and ("a", "bc") nor (1,) and ("1",) meet. The values
    are part of what makes a run repeatable: they never change between versions of mmupt, machines or Pythons.

    Raises TypeError for a part that is neither int nor str; a bool is refused because it would pass for 0 or 1.

    >>> derive_seed(0, "world-7", 0, 3)
    1538825708196014832
    """
    if not parts:
        raise TypeError("derive_seed needs at least one part")
    digest = hashlib.blake2b(digest_size=8, person=b"mmupt.seed")
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, int | str):
            raise TypeError(f"a seed is derived from int and str, not from {type(part).__name__}: {part!r}")
        kind, text = (b"i", str(int(part))) if isinstance(part, int) else (b"s", part)
        data = text.encode("utf-8", "surrogatepass")
        digest.update(kind + len(data).to_bytes(8, "big") + data)
    return int.from_bytes(digest.digest(), "big") >> 1
