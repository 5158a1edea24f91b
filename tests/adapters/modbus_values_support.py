"""Registers for the tests of values."""


def wire(octets: bytes, order: str) -> list[int]:
    """Registers whose bytes are those of `octets`, the highest first, in such an order: byte by byte."""
    laid = bytes(octets["ABCDEFGH".index(letter)] for letter in order)
    return [laid[at] << 8 | laid[at + 1] for at in range(0, len(laid), 2)]
