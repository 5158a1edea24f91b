"""Numbers of things, in words."""


def counted(number: int, noun: str) -> str:
    """`1 record`, `1,058 records`; of any noun whose plural takes an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
