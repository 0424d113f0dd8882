"""The pages of the site are made by docs/hooks; the tests import both these and their own helper beside them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "docs" / "hooks")]
