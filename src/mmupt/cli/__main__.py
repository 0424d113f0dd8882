"""`python -m mmupt.cli`."""

from mmupt.cli import main

main()
