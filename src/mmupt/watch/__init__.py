"""`mmupt watch`: a page in the browser that follows a run by reading its folder, and nothing but that."""

from mmupt.watch.server import WatchServer

__all__ = ["WatchServer"]
