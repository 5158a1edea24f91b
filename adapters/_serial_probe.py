"""What `lineside probe serial` is given, under one name: the registry finds this module by it."""

from adapters._probe_frames import Guess, cut, guess, only_asks
from adapters._probe_wire import MOST_BYTES, Chunk, Ear, Rate, Tried, hunted, is_real, listening
from adapters._testrig_probe import Proposal, outline, propose

__all__ = [
    "MOST_BYTES", "Chunk", "Ear", "Guess", "Proposal", "Rate", "Tried", "cut", "guess", "hunted", "is_real",
    "listening", "only_asks", "outline", "propose",
]  # fmt: skip
