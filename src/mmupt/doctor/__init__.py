"""`mmupt doctor`: what will go wrong with a recipe on this machine, before it does. One check a file."""
