"""Rows, pictures, streams. Imports no torch."""
