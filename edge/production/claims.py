"""Parts that a reading claims and that nobody would believe: what a person has to decide, in words."""

from msgspec import Struct

MOST_CLAIMS = 5


class Claim(Struct, frozen=True):
    """A reading that was not believed."""

    role: str
    was: int
    """The reading before it."""
    raw: int
    parts: int
    """That are held: booked if a person accepts them."""

    @property
    def is_back(self) -> bool:
        return self.raw < self.was

    @property
    def words(self) -> str:
        """What was read, and what each answer books."""
        if self.is_back:
            return (
                f"the {self.role} counter went back from {self.was} to {self.raw}. Accepting them books"
                f" {self.parts} parts, which is right only where it began at zero and counted all of them"
                " since; dismissing them books none, which is right where an older count was restored"
            )
        return (
            f"the {self.role} counter went from {self.was} to {self.raw}, faster than any part can be made."
            f" Accepting them books {self.parts} parts, dismissing them books none"
        )


def claim_of(role: str, was: int | None, raw: int, parts: int) -> str:
    """The words for a count event; one that was written before it said what `was` has fewer."""
    if was is None:
        told = f"the {role} counter went to {raw}."
        return f"{told} Accepting them books {parts} parts, dismissing them books none"
    return Claim(role, was, raw, parts).words


def with_claim(claims: tuple[Claim, ...], claim: Claim) -> tuple[Claim, ...]:
    """The newest ones."""
    return (*claims, claim)[-MOST_CLAIMS:]
