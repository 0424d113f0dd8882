"""`python -m mmupt`: the command line, where the script `mmupt` is not on the path."""

from mmupt.cli import main

main()
