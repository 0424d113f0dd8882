"""The Python API: what the command line does, as functions. Users import it from `mmupt` itself (docs/python.md)."""
