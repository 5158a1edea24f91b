"""The half of tests/support/model.py that counts: whose a part is, and what a job or a station has."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tests.support.model_facts import (
    CLOCKS_AGREE_MS,
    COUNTS,
    FINAL,
    RECENT_MS,
    Fact,
    Job,
    JobName,
    No,
    Noun,
    Read,
    Run,
    Station,
    card,
    good_of,
    sums,
)


class Counting:
    """What there is, what is counted, and for whom. The clock is told before each step."""

    def __init__(self, stations: Sequence[Station]) -> None:
        self.stations = {station.name: station for station in stations}
        self.facts: list[Fact] = []
        self.reads: dict[tuple[str, str], Read] = {}
        self.orders: dict[str, tuple[int, tuple[int, ...], str | None]] = {}
        """Quantity, operations and batch."""
        self.jobs: dict[JobName, Job] = {}
        self.kept: dict[tuple[JobName, str], str] = {}
        """The batch of a job's last run at a station."""
        self.runs: list[Run] = []
        self.wall_ms = self.mono_ms = 0
        self.boot = ""
        self.starts = 0
        """How often the agent was started."""

    # --- what there is ----------------------------------------------------------------------

    def of(self, station: str, job: JobName | None) -> list[Fact]:
        """What is a job's quantity at a station: not what was counted in setup, test and rework runs."""
        return [
            fact for fact in self.facts
            if fact.station == station and (fact.owner.job if fact.owner else None) == job
            and (fact.owner is None or fact.owner.kind == "production" or fact.what not in COUNTS)
        ]  # fmt: skip

    def good(self, station: str, job: JobName) -> int:
        return good_of(sums(self.of(station, job)))

    def rework(self, station: str, job: JobName) -> int:
        return sums(self.of(station, job)).get("rework", 0)

    def aside(self, job: JobName) -> dict[str, dict[str, int]]:
        """What was counted in setup, test and rework runs, by kind and station."""
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            owner = fact.owner
            if owner and owner.job == job and owner.kind != "production" and fact.what in COUNTS:
                found.setdefault(f"{owner.kind}/{fact.station}", []).append(fact)
        return {key: made for key, facts in found.items() if (made := sums(facts))}

    def running_at(self, job: JobName) -> set[str]:
        return {name for name, at in self.stations.items() if any(run.job == job for run in at.slots)}

    def job(self, name: JobName) -> Job:
        return self.jobs.setdefault(name, Job(name))

    # --- the clock --------------------------------------------------------------------------

    def clock_is_right(self, since_ms: int, mono_ms: int, shift_ms: int, place: int, runs: int) -> None:
        """Times since then were estimated; `place` is that of the first event since then, `runs` how many
        there were before."""

        def later(at_ms: int) -> int:
            return at_ms + shift_ms if at_ms >= since_ms else at_ms

        for fact in self.facts:
            fact.at_ms = later(fact.at_ms) if fact.place >= place else fact.at_ms
        for run in self.runs[runs:]:
            run.started_ms = later(run.started_ms)
        for read in self.reads.values():
            if read.changed_ms is not None and read.changed_mono_ms >= mono_ms:
                read.changed_ms = later(read.changed_ms)
        for station in self.stations.values():
            station.changed_ms, undo = later(station.changed_ms), station.undo
            if undo is not None:
                estimated = undo.boot == self.boot and undo.mono_ms >= mono_ms
                undo.at_ms = later(undo.at_ms) if estimated else undo.at_ms
                undo.since_ms = later(undo.since_ms) if estimated else undo.since_ms
                undo.before.changed_ms = later(undo.before.changed_ms)

    # --- counting ---------------------------------------------------------------------------

    def read(self, name: str, role: str, parts: int, at_ms: int | None = None, clocked: bool = False) -> None:
        """A counter was read: `parts` since its last reading. `clocked`: `at_ms` is the device's own."""
        station, at = self.stations[name], self.wall_ms if at_ms is None else at_ms
        read = self.reads.get((name, role))
        if read is None:
            self.reads[name, role] = Read([station.slots], station.changes)
            return
        late = clocked and self._is_before(at, read)
        owners = read.before if late else read.owners()
        if not late:
            self.reads[name, role] = Read([station.slots], station.changes)
        for owner, some in self._deal(station, role, owners or (), parts):
            self._count(station, role, owner, some, at).change = read.change

    def _deal(
        self, station: Station, role: str, owners: tuple[Run, ...], parts: int
    ) -> list[tuple[Run | None, int]]:
        """Part by part: in turn, or to the first job that has not got its quantity."""
        if len(owners) < 2:
            return [(owners[0] if owners else None, parts)] if parts else []
        if any(run not in station.slots for run in owners):
            return [(None, parts)] if parts else []
        dealt = Counter[Run]()
        of_dealt = role == "reject" and "total" in station.roles
        turn = station.dealt - parts if of_dealt else station.dealt
        room = {run: run.quantity - run.elsewhere - self.good(station.name, run.job) for run in owners}
        for _ in range(parts):
            if station.split == "equal":
                dealt[owners[turn % len(owners)]] += 1
                turn += 1
            elif role == "reject":
                begun = [run for run in owners if self._counted(run) > 0]
                dealt[begun[-1] if begun and self._counted(begun[-1]) else owners[0]] += 1
            else:
                dealt[next((run for run in owners if dealt[run] < room[run]), owners[-1])] += 1
        if station.split == "equal" and not of_dealt and parts:
            station.dealt = turn % len(owners)
        return [(run, dealt[run]) for run in owners if dealt[run]]

    def _counted(self, run: Run) -> int:
        made = sums(fact for fact in self.facts if fact.owner is run)
        return made.get("made", 0)

    def _is_before(self, at_ms: int, read: Read) -> bool:
        """A part of this time was made before the jobs changed; no clock that is set changes its owner."""
        if read.changed_ms is None:
            return False
        if read.changed_boot != self.boot:
            return at_ms <= read.changed_ms - CLOCKS_AGREE_MS
        return self.mono_ms - (self.wall_ms - at_ms) <= read.changed_mono_ms - CLOCKS_AGREE_MS

    def _count(self, station: Station, role: str, owner: Run | None, parts: int, at_ms: int) -> Fact:
        if owner is not None and owner.kind == "rework" and owner in station.slots:
            self._come_from_rework(station, role, owner, parts, at_ms)
        return self._add(station, role, parts, at_ms, owner)

    def _come_from_rework(self, station: Station, role: str, run: Run, parts: int, at_ms: int) -> None:
        """What comes out of rework was counted before: it is good now, or scrap."""
        if role == "reject" and "total" in station.roles:  # its pass was counted by the total
            self._add(station, "reworked", -parts, at_ms, run)
        what = "rework_scrapped" if role == "reject" else "reworked"
        known = min(parts, max(0, self.rework(station.name, run.job)))
        if known:
            self._add(station, what, known, at_ms, run)

    def _add(self, station: Station, what: str, parts: int, at_ms: int, owner: Run | None) -> Fact:
        of_total = what == "reject" and "total" in station.roles
        self.facts.append(Fact(station.name, what, parts, at_ms, owner, station.changes, of_total=of_total))
        return self.facts[-1]

    # --- who is on --------------------------------------------------------------------------

    def _change(self, station: Station, fresh: Iterable[str]) -> None:
        """Another context from now on; a counter that is fresh begins there."""
        station.changed_ms = self.wall_ms
        station.changes += 1
        for role in station.roles:
            read = self.reads.get((station.name, role))
            if read is None:
                continue
            if role in fresh:
                self.reads[station.name, role] = Read([station.slots], station.changes)
                continue
            if read.changed_ms is None:
                read.before, read.changed_ms = read.jobs[0], self.wall_ms
                read.changed_mono_ms, read.changed_boot = self.mono_ms, self.boot
            read.jobs.append(station.slots)

    def _begin(self, station: Station, job: JobName, kind: str) -> Run:
        quantity, _, order_batch = self.orders[job[0]]
        batch = self.kept.get((job, station.name)) or order_batch
        if not station.slots:
            batch = station.batch or batch
        run = Run(job, station.name, kind, quantity, self._elsewhere(station, job), started_ms=self.wall_ms)
        self.runs.append(run)
        station.batches[run], station.batch = batch, None
        station.slots = (*station.slots, run)
        station.last_job, station.noun = job, self._over(station)
        self.job(job).state, self.job(job).substate = "Running", ""
        return run

    def _elsewhere(self, station: Station, job: JobName) -> int:
        """Good parts of its ended runs at other stations."""
        return sum(
            good_of(sums(fact for fact in self.of(name, job) if fact.owner and not fact.owner.is_on))
            for name in self.stations if name != station.name
        )  # fmt: skip

    def _over(self, station: Station) -> Noun | None:
        """What waits is of the jobs that were on: its quantity is refused once."""
        return station.noun and replace(station.noun, is_over=True)

    def _end(self, station: Station, run: Run) -> None:
        station.slots = tuple(one for one in station.slots if one is not run)
        run.is_on, station.noun = False, self._over(station)
        if batch := station.batches[run]:
            self.kept[run.job, station.name] = batch
        if not station.slots:
            station.batch = None

    def _stop(self, station: Station, run: Run, state: str, substate: str = "") -> None:
        self._end(station, run)
        job = self.job(run.job)
        job.state, job.substate = ("Running", "") if self.running_at(run.job) else (state, substate)
        if state in FINAL and station.last_job == run.job:
            station.last_job = None
        elif state not in FINAL:
            station.last_job = run.job

    def _the(self, station: Station, job: JobName | None = None) -> Run:
        found = [run for run in station.slots if job in (None, run.job)]
        if len(found) != 1:
            raise No
        return found[0]

    def _waits(self, noun: Noun | None) -> bool:
        return (
            noun is not None
            and not noun.is_over
            and noun.boot == self.boot
            and self.mono_ms - noun.mono_ms <= RECENT_MS
        )

    def _chosen(self, station: Station) -> JobName | None:
        if not self._waits(station.chosen) or station.chosen is None or len(station.slots) < 2:
            return None
        return next((run.job for run in station.slots if card(run.job) == station.chosen.body), None)
