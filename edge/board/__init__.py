"""The board: a process of its own that shows a line in a browser. Its page is board.md."""

from edge.board.app import serve

__all__ = ["serve"]
