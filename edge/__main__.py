"""`python -m edge` is the command `lineside`."""

from edge.cli import main

main()
