"""The vote as a reward for other people's trainers (docs/integrations.md). Each module imports its framework's types
for nothing but their shapes: none of them has to be installed for mmupt to work."""
