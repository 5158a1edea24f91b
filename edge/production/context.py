"""What a part is made under."""

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """What a run is for. Parts of another kind than production are none of the order's quantity."""

    PRODUCTION = "production"
    SETUP = "setup"
    REWORK = "rework"
    TEST = "test"
    UNASSIGNED = "unassigned"
    """Parts that no order is known for; a run all the same, so that somebody can say whose they are."""


class Context(Struct, frozen=True, omit_defaults=True):
    """What a part is made under. Without `order` it is UNASSIGNED."""

    order: str | None = None
    operation: int | None = None
    run: str | None = None
    item: str | None = None
    revision: str | None = None
    batch: str | None = None
    operator: str | None = None
    kind: str | None = None
    """Of the run, where it is not production: see `Kind`."""

    def common(self, other: "Context") -> "Context":
        """What is certain of a part made under this or the other, nobody knows which.

        Only a single run decides the order: two runs of one order are two answers.
        """
        same_run = self.run == other.run
        return Context(
            order=self.order if same_run else None,
            operation=self.operation if same_run else None,
            run=self.run if same_run else None,
            item=self.item if same_run else None,
            revision=self.revision if same_run else None,
            batch=self.batch if self.batch == other.batch else None,
            operator=self.operator if self.operator == other.operator else None,
            kind=self.kind if same_run else None,
        )


NO_CONTEXT = Context()
