"""The rules of counting and attribution once more, slowly and obviously: a flat list of what was counted.

Every count, disposition and adjustment is one fact in one list. A correction changes the owner of facts;
what a job or a station has is summed up from the list each time that somebody asks.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace

from tests.support.model_counting import Counting
from tests.support.model_facts import (
    AGAIN_MS,
    COUNTS,
    FINAL,
    MOST_STOPS,
    REPEAT_MS,
    SHORT_S,
    UNDO_MS,
    Booked,
    Fact,
    Job,
    JobName,
    Last,
    No,
    Noun,
    OfWhat,
    Run,
    Station,
    Stop,
    Undo,
    card,
    good_of,
    sums,
)


class Model(Counting):
    """Every method answers, or raises No."""

    _was_of_what = False
    """The refusal was of a quantity whose noun is over: it is refused once."""

    # --- scans ------------------------------------------------------------------------------

    def scan(self, name: str, letter: str, body: str, fresh: Iterable[str] = ()) -> bool:
        """Whether it is obeyed."""
        station, text = self.stations[name], f"{letter} {body}"
        if self._asks(station, text):
            return False
        before = copy(station)
        last = station.last
        if letter == "Q" and last and last.booked and last.asked == text == last.booked.text:
            noun = last.booked.noun  # once more
            station.noun = noun and replace(noun, mono_ms=self.mono_ms, boot=self.boot)
        waited = station.noun
        if not self._scanned(station, letter, body, fresh):
            station.noun = before.noun if not self._was_of_what else None
            return False
        changed = station.undo is not None and station.undo is not before.undo
        if changed and station.undo:
            station.undo.noun = before.noun
        correction = body == "UNDO" or body.startswith("BACK")
        station.last = Last(self.mono_ms, self.boot, None if changed or correction else before)
        if letter in "QTDC" and body != "LOGOUT" and (changed or correction):
            station.last.booked = Booked(text, self.starts, waited if letter == "Q" else None)
        elif last and last.booked and last.booked.start != self.starts and last.asked != text:
            station.last.booked = last.booked
        return True

    def _asks(self, station: Station, text: str) -> bool:
        """What counted last before a restart is asked about, and what that began with; once a minute."""
        last = station.last
        if last is None or last.booked is None or last.booked.start == self.starts:
            return False
        booked, noun = last.booked, last.booked.noun
        is_same = text == booked.text and not (text[0] == "Q" and self._waits(station.noun))
        if not is_same and not (noun and text == f"{noun.letter} {noun.body}"):
            return False
        age_ms = self.mono_ms - last.asked_mono_ms
        if last.asked == text and last.asked_boot == self.boot and age_ms <= AGAIN_MS:
            return age_ms < REPEAT_MS
        last.asked, last.asked_mono_ms, last.asked_boot = text, self.mono_ms, self.boot
        return True

    def _scanned(self, station: Station, letter: str, body: str, fresh: Iterable[str]) -> bool:
        if letter == "C" and (body == "UNDO" or body.startswith("BACK")):
            taken = self._corrected(station, body, fresh)
            station.is_status = station.is_status and not taken
            return taken
        before, jobs = copy(station), {key: copy(job) for key, job in self.jobs.items()}
        length, context, runs = len(self.facts), station.context(), len(self.runs)
        ended = frozenset(run for run in self.runs if not run.is_on)
        try:
            booked = self._obey(station, letter, body)
        except No as no:
            station.is_status = before.is_status
            self._was_of_what = isinstance(no, OfWhat)
            return False
        sure = self._is_sure(before)
        if station.context() == context and not booked:
            return True
        if station.context() != context:
            self._change(station, fresh)
        since = max(before.changed_ms, before.slots[0].started_ms if before.slots else 0)
        by = station.operator or before.operator
        changed = {key: jobs.get(key, Job(key)) for key, job in self.jobs.items() if jobs.get(key) != job}
        station.undo = Undo(
            by, self.wall_ms, self.mono_ms, self.boot, since, length, before, changed,
            {key: self.jobs[key].state for key in changed}, self.facts[length:] if booked else None,
            runs, ended, sure,
        )  # fmt: skip
        return True

    def _is_sure(self, station: Station) -> bool:
        reads = [self.reads.get((station.name, role)) for role in station.roles]
        known = [read for read in reads if read is not None]
        if not station.slots and any(read.changed_ms is not None for read in known):
            return False
        return all(read.jobs[-1] == read.owners() == station.slots for read in known)

    def _obey(self, station: Station, letter: str, body: str) -> bool:
        """Whether it booked parts."""
        is_status, station.is_status = station.is_status, False
        if letter == "E":
            station.operator = body
        elif letter == "J":
            is_on = any(run.job == self._card(body) for run in station.slots)
            self._start(station, self._card(body))
            station.is_status = is_on
            station.chosen = Noun("J", card(self._card(body)), self.mono_ms, self.boot)
        elif letter == "L":
            self._lot(station, body)
        elif letter in "XS":
            station.noun = Noun(letter, body, self.mono_ms, self.boot)
        elif letter == "Q":
            self._quantity(station, int(body))
            return True
        elif letter == "T":
            self._tool(station, body)
        elif letter == "D":
            self._reason(station, body)
        else:
            self._command(station, body, is_status)
        return False

    def _tool(self, station: Station, body: str) -> None:
        before, group = dict(station.tools), body.partition(".")[0] if "." in body else ""
        if station.tools.pop(group, None) != body:
            station.tools[group] = body
        station.undo = self._undo_of(station)
        station.undo.tools = before

    def _reason(self, station: Station, body: str) -> None:
        stops = [stop for stop in station.stops if stop.is_on]
        stops += [stop for stop in reversed(station.stops) if not stop.reason]
        stop = next(iter([*stops, *reversed(station.stops)]), None)
        if stop is None or stop.reason == body:
            raise No
        station.undo = self._undo_of(station)
        station.undo.reason = stop, stop.reason
        stop.reason = body

    def _undo_of(self, station: Station) -> Undo:
        """Of a scan that moves no parts."""
        return Undo(station.operator, self.wall_ms, self.mono_ms, self.boot, 0, 0, station, {})

    def stopped(self, name: str, state: str, was: str | None, lasted_s: float | None) -> None:
        """The machine went from one state to another."""
        stops = self.stations[name].stops
        if state != "Execute":
            stops.append(Stop())
            del stops[:-MOST_STOPS]
        elif was is not None:
            stop = stops[-1]
            stop.lasted_s, stop.is_on = lasted_s, False
            if not stop.reason and lasted_s is not None and lasted_s < SHORT_S:
                stops.remove(stop)

    def _card(self, body: str) -> JobName:
        name, _, operation = body.rpartition("-")
        if body in self.orders:
            operations = self.orders[body][1]
            if len(operations) > 1:
                raise No
            return body, operations[0] if operations else None
        if name not in self.orders or int(operation) not in self.orders[name][1]:
            raise No
        return name, int(operation)

    def _start(self, station: Station, job: JobName) -> None:
        if any(run.job == job for run in station.slots):
            return  # only its status is shown
        known = self.job(job)
        if known.state in (*FINAL, "NotAllowedToStart") or known.substate == "Held":
            raise No
        if len(station.slots) >= station.capacity:
            if station.capacity > 1:
                raise No
            self._stop(station, station.slots[0], "Interrupted", "Suspended")
        self._begin(station, job, "production")

    def _lot(self, station: Station, body: str) -> None:
        if not station.slots:
            station.batch = body
            return
        run = self._the(station, self._chosen(station) if len(station.slots) > 1 else None)
        station.batches = {**station.batches, run: body}

    def _command(self, station: Station, body: str, is_status: bool) -> None:
        if body == "CANCEL":
            station.noun = station.chosen = None
        elif body == "LOGOUT":
            if station.operator is None:
                raise No
            station.operator = None
        elif body == "PAUSE":
            self._stop(station, self._the(station, self._chosen(station)), "Interrupted", "Suspended")
        elif body == "DONE":
            self._stop(station, self._the(station, self._chosen(station)), "Ended", "Completed")
        elif body in ("SETUP", "TEST"):
            self._switch(station, self._the(station, self._chosen(station)), body.lower())
        elif body in ("START", "RESUME"):
            self._resume(station)
        elif body == "REWORK" and is_status and self._waits(station.chosen) and not self._waits(station.noun):
            self._switch(station, self._the(station, self._chosen(station)), "rework")
        else:
            self._the(station, self._chosen(station))
            station.noun = Noun("C", body, self.mono_ms, self.boot)

    def _switch(self, station: Station, run: Run, kind: str) -> None:
        if run.kind == kind:
            raise No
        self._end(station, run)
        self._begin(station, run.job, kind)

    def _resume(self, station: Station) -> None:
        asked = self._chosen(station)
        aside = [run for run in station.slots if run.kind != "production" and asked in (None, run.job)]
        if len(aside) > 1:
            raise No
        if aside:
            self._switch(station, aside[0], "production")
            return
        if len(station.slots) == station.capacity or station.last_job is None:
            raise No
        if any(run.job == station.last_job for run in station.slots):
            raise No
        if station.last_job[1] not in (self.orders[station.last_job[0]][1] or (None,)):
            raise No
        self._start(station, station.last_job)

    def _quantity(self, station: Station, parts: int) -> None:
        noun = station.noun
        if noun is not None and not self._waits(noun):
            raise OfWhat
        run = self._the(station, self._chosen(station))
        if noun is not None and noun.letter == "S":
            raise No
        if noun is None or noun.letter == "X":
            self._report(station, run, noun, parts)
        else:
            what = {"REWORK": "rework", "OK": "reworked", "SCRAP": "rework_scrapped"}[noun.body]
            there = self.good if what == "rework" else self.rework
            if there(station.name, run.job) < parts:
                raise No
            self._add(station, what, parts, self.wall_ms, run)
        station.noun = None

    def _report(self, station: Station, run: Run, noun: Noun | None, parts: int) -> None:
        """Where nothing counts by itself, a person does."""
        if not station.roles:
            self._count(station, "reject" if noun else "good", run, parts, self.wall_ms)
        elif noun is None or self.good(station.name, run.job) < parts:
            raise No
        else:
            self._add(station, "scrap", parts, self.wall_ms, run)

    # --- corrections ------------------------------------------------------------------------

    def _corrected(self, station: Station, body: str, fresh: Iterable[str]) -> bool:
        undone, context, last = station.undo, station.context(), station.last
        self._was_of_what = False
        try:
            if body == "UNDO" and last is not None and last.waited is not None:
                self._never_waited(station, last)
                return True
            if undone is None or undone.boot != self.boot or self.mono_ms - undone.mono_ms > UNDO_MS:
                raise No
            if body == "UNDO":
                self._undo(station, undone)
            else:
                self._back(station, undone, int(body[4:]))
        except No:
            return False
        station.undo = None
        if body == "UNDO":
            noun = undone.noun
            is_over = undone.booked is not None or not self._waits(noun)
            station.noun = noun and replace(noun, is_over=noun.is_over or is_over)
        if station.context() != context:
            self._change(station, fresh)
        return True

    def _never_waited(self, station: Station, last: Last) -> None:
        """A scan that changed nothing: what had waited before it does so again, if it is young enough."""
        if last.boot != self.boot or self.mono_ms - last.mono_ms > UNDO_MS or last.waited is None:
            raise No
        noun = last.waited.noun
        station.noun = noun and replace(noun, is_over=noun.is_over or not self._waits(noun))
        station.chosen = last.waited.chosen

    def _undo(self, station: Station, undone: Undo) -> None:
        """Everything is as it was, and what was counted since is of who was on before."""
        if undone.by != station.operator:
            raise No
        if undone.tools is not None:
            station.tools = undone.tools
            return
        if undone.reason is not None:
            stop, was = undone.reason
            if stop not in station.stops:
                raise No
            stop.reason = was
            return
        if undone.booked is not None:
            self._take_back(station, undone)
            return
        before = undone.before
        begun = self.runs[undone.runs :]
        jobs_changed = before.slots != station.slots
        given = [
            fact for fact in self.facts[undone.length :] if fact.station == station.name
            and (fact.owner in begun or (fact.owner is None and jobs_changed and undone.sure))
        ]  # fmt: skip
        strays = [one for one in given if one.owner is not None or one.what in COUNTS]
        owners = {fact.owner for fact in strays}
        if len(before.slots) > 1 and any(sums(one for one in strays if one.owner is of) for of in owners):
            raise No
        for run in before.slots:
            job = self.job(run.job)
            by_another = job.state in FINAL and undone.left.get(run.job) != job.state
            if run not in station.slots and (by_another or job.substate == "Held"):
                raise No
        self._restore(station, undone)
        reworked = [fact for fact in given if fact.owner and fact.owner.kind == "rework"]
        self._rework_again(station, before, reworked)
        for fact in given:
            self._give(fact, before.slots[0] if before.slots else None)

    def _give(self, fact: Fact, owner: Run | None, sure: bool = True) -> None:
        """What was adjusted among unassigned parts goes with those that it was said of, wherever they are."""
        if sure and (fact.owner is not None or not fact.what.endswith("adjusted")):
            fact.owner = owner
        else:
            fact.open = [owner]

    def _rework_again(self, station: Station, before: Station, given: list[Fact]) -> None:
        """What came out of rework only by that scan waits for it still."""
        for what in ("reworked", "rework_scrapped"):
            if parts := sum(fact.parts for fact in given if fact.what == what):
                self._add(station, what, -parts, self.wall_ms, before.slots[0])

    def _take_back(self, station: Station, undone: Undo) -> None:
        assert undone.booked is not None
        run = undone.booked[-1].owner
        if run not in station.slots:
            raise No
        for fact in [fact for fact in undone.booked if fact.what in COUNTS]:
            self._add(station, fact.what, -fact.parts, self.wall_ms, run)
        for fact in [fact for fact in undone.booked if fact.what not in COUNTS]:
            self._add(station, fact.what, -fact.parts, self.wall_ms, run)

    def _restore(self, station: Station, undone: Undo) -> None:
        before = undone.before
        gone = [run for run in station.slots if run not in before.slots]
        back = [run for run in before.slots if run not in station.slots]
        for run in gone:
            self._end(station, run)
        station.slots, station.operator, station.batch = before.slots, before.operator, before.batch
        station.batches = {**station.batches, **before.batches}
        station.last_job, station.noun = before.last_job, None
        for run in back:
            run.is_on = True
            run.taken_back = False
        for run in gone:
            run.taken_back = True
            self._never_begun(run, undone)
        for run in back:
            self.job(run.job).state, self.job(run.job).substate = "Running", ""

    def _never_begun(self, run: Run, undone: Undo) -> None:
        """Its job is what it was, unless it runs, or has run, elsewhere since."""
        job, was = self.job(run.job), undone.jobs.get(run.job)
        if self.running_at(run.job):
            job.state, job.substate = "Running", ""
            return
        mine = [other for other in self.runs if other.job == run.job]
        ended = {other for other in mine if not (other.is_on or other.taken_back)}
        if was is None:  # it ran elsewhere then: there it has ended, or was taken back as well
            was, since = Job(run.job), ended
        else:
            since = ended - undone.ended
        if since and was.state == "AllowedToStart":
            job.state, job.substate = "Interrupted", "Suspended"
        else:
            job.state, job.substate = was.state, was.substate

    def _back(self, station: Station, undone: Undo, minutes: int) -> None:
        """The scan was made earlier, but after the change before it."""
        moves_none = undone.tools is not None or undone.reason is not None
        if undone.booked is not None or moves_none or len(station.slots) > 1:
            raise No
        from_ms = min(undone.at_ms, max(undone.at_ms - minutes * 60_000, undone.since_ms))
        to_ms = max(from_ms, self.wall_ms)
        if station.slots == undone.before.slots:
            return  # a badge or a lot: whose parts they are is not in question
        if station.slots and station.slots[0] not in undone.before.slots:
            station.slots[0].started_ms = from_ms
        for number, fact in enumerate(self.facts):
            mine = fact.station == station.name and from_ms <= fact.at_ms <= to_ms
            mine = mine and "adjusted" not in fact.what  # it names its run
            if mine and self._can_be_earlier(undone, fact, number):
                # Parts that were nobody's before it go all together or not at all.
                sure = fact.change >= undone.before.changes and (fact.owner or number >= undone.length)
                self._give(fact, station.slots[0] if station.slots else None, bool(sure))

    def _can_be_earlier(self, undone: Undo, fact: Fact, number: int) -> bool:
        """Made after the change before: of the job that was on then, or of nobody where none was."""
        if fact.owner in undone.before.slots:
            return True
        if fact.owner is None and not undone.before.slots and number < undone.length:
            return True
        return fact.owner in self.runs[undone.runs :] or (
            fact.owner is None and number >= undone.length and undone.sure
        )

    # --- the office -------------------------------------------------------------------------

    def order(self, name: str, quantity: int, operations: tuple[int, ...], batch: str | None) -> bool:
        known = self.orders.get(name)
        if known is not None and known[1:] != (operations, batch):
            jobs = [self.job((name, operation)) for operation in known[1] or (None,)]
            made = [sums(self.of(station, job.name)) for station in self.stations for job in jobs]
            if any(made) or any(job.state != "AllowedToStart" for job in jobs):
                return False
        self.orders[name] = (quantity, operations, batch)
        for station in self.stations.values():
            for run in station.slots:
                if run.job[0] == name:
                    run.quantity = quantity
        return True

    def reassign(self, chosen: Sequence[Fact], job: JobName | None) -> None:
        """These facts are another job's, which must have run then."""
        owners: dict[str, Run] = {}
        for fact in chosen:
            kind = fact.owner.kind if fact.owner else "production"
            if job is not None and kind not in owners:
                owners[kind] = Run(job, fact.station, kind, is_on=False)
                self.runs.append(owners[kind])
            fact.owner = owners[kind] if job else None
        if job is None:
            return
        if not owners:  # there was no part, but it was said all the same
            self.runs.append(Run(job, "", is_on=False))
        known = self.job(job)
        if known.state == "AllowedToStart":
            known.state, known.substate = "Interrupted", "Suspended"
        elif known.state == "NotAllowedToStart":
            known.state, known.substate = "Interrupted", "Held"

    def adjust(self, station: str, run: Run | None, good: int, scrap: int) -> bool:
        if (not good and not scrap) or (run is not None and run.kind != "production"):
            return False
        length = len(self.facts)
        self._add(self.stations[station], "good adjusted", good, self.wall_ms, run)
        self._add(self.stations[station], "scrap adjusted", scrap, self.wall_ms, run)
        made = sums(self.of(station, run.job if run else None))
        if run and (good_of(made) < 0 or made.get("reject", 0) + made.get("booked", 0) < 0):
            del self.facts[length:]
            return False
        return True

    def command(self, job: JobName, verb: str) -> bool:
        known = self.job(job)
        try:
            getattr(self, f"_{verb}_job")(known)
        except No:
            return False
        return True

    def _leave(self, job: Job, state: str, substate: str) -> None:
        """It stops everywhere."""
        for name in sorted(self.running_at(job.name)):
            station = self.stations[name]
            self._stop(station, self._the(station, job.name), state, substate)
            station.undo = None
            self._change(station, ())
        job.state, job.substate = state, substate

    def _hold_job(self, job: Job) -> None:
        if job.state in (*FINAL, "NotAllowedToStart") or job.substate == "Held":
            raise No
        if job.state == "AllowedToStart":
            job.state = "NotAllowedToStart"
        else:
            self._leave(job, "Interrupted", "Held")

    def _release_job(self, job: Job) -> None:
        if job.state == "NotAllowedToStart":
            job.state = "AllowedToStart"
        elif job.substate == "Held":
            job.substate = "Suspended"
        else:
            raise No

    def _end_job(self, job: Job) -> None:
        if job.state in (*FINAL, "AllowedToStart", "NotAllowedToStart"):
            raise No
        self._leave(job, "Ended", "Completed")

    def _abort_job(self, job: Job) -> None:
        if job.state in FINAL:
            raise No
        self._leave(job, "Aborted", "")
