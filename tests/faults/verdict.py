"""What is the truth about a job, and whether a site told it: from how the job was made, what it left, and the story."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from flcore.observers.job_history import JobHistory

TICK = 0.2
"""Seconds between two lines of a job's output."""
TRAPPED = 5
"""The exit code of a job that was asked to end, and heeded it."""
UNKNOWN_TO_ENGINE = 255
"""What the engine says of an end that it did not see (FACTS.md, part 1)."""
_PASSED_ON = {0: "SUCCESS", 101: "EXCEPTION", 102: "UNSAFE_COMPONENT", 103: "CONFIG_ERROR", 104: "INFRASTRUCTURE_ERROR"}
_TERMINAL = {"exited", "dead"}

NATURAL, ABORTED, KILLED, FORGOTTEN, NEVER_RAN, REFUSED = (
    "natural",
    "aborted",
    "killed",
    "forgotten",
    "never ran",
    "refused",
)
"""How a job can have ended: by itself; on the suite's request; by somebody else; by itself, when the engine could not
see it; it was never started; its launch raised."""
LOST = "lost"
"""By itself, and its exit code was not told though the engine knew it: never right."""
THE_SUITE = "the suite"
"""Who asks for ends."""

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """A job, made so that it is known how it ends: it writes a line each tick, notes its end, and exits."""

    id: str
    code: int = 0
    ticks: int = 5
    deaf: bool = False
    """Ignores the request to end."""
    may_end: frozenset[str] = frozenset({NATURAL})
    """The ways in which it may end under its fault."""
    noted: bool = True
    """Whether it can write into its folder, so that the notes there are evidence."""
    whole_log: bool = True
    """Whether all its output must be kept if it ends by itself."""
    gapless: bool = True
    """Whether no line may be missing in the middle of the output that is kept."""
    body: str = ""
    """What it runs in place of the lines, for sh."""
    image: str | None = None

    @property
    def script(self) -> str:
        on_term = "" if self.deaf else f"echo {TRAPPED} > ended; exit {TRAPPED}"
        lines = f'i=0; while [ $i -lt {self.ticks} ]; do echo "line $i"; i=$((i+1)); sleep {TICK} & wait $!; done'
        notes = "echo started >> runs" if self.noted else ":"
        end = f"echo {self.code} > ended" if self.noted else ":"
        return f"trap '{on_term}' TERM; {notes}; {self.body or lines}; echo end; {end}; exit {self.code}"

    @property
    def log(self) -> list[str]:
        """All that it says if it ends by itself."""
        return [*(f"line {i}" for i in range(self.ticks)), "end"]

    @property
    def return_code(self) -> str:
        return return_code(self.code)


@dataclass(frozen=True)
class Evidence:
    """What a job left in its folder."""

    runs: int
    """How many times it was started."""
    ended: int | None
    """The exit code with which it was about to end."""
    log: list[str] | None
    """Its output, as the site kept it."""
    unseen: bool = False
    """Whether it ended at a time of which the engine may know nothing."""

    @classmethod
    def of(cls, folder: Path, site: str, blind: Sequence[tuple[float, float]] = ()) -> Evidence:
        """Return what is in a job's folder; ``blind``: from when to when the engine may have seen no ends."""
        ended = _text(folder / "ended")
        log = _text(folder / f"{site}.log")
        ended_at = (folder / "ended").stat().st_mtime if ended else 0
        return cls(
            runs=(_text(folder / "runs") or "").count("started"),
            ended=int(ended) if ended else None,
            log=None if log is None else log.splitlines(),
            unseen=any(begin <= ended_at <= end for begin, end in blind),
        )


@dataclass
class Judgement:
    """What came of one job."""

    job: Job
    end: str = ""
    problems: list[str] = field(default_factory=list)


def read_story(path: Path) -> list[Entry]:
    """Return all entries of a story so far; the last line may be about to be written."""
    whole_lines, _, _ = (_text(path) or "").rpartition("\n")
    return [json.loads(line) for line in whole_lines.splitlines()]


def judge(job: Job, story: Sequence[Entry], evidence: Evidence, inspected: int | None) -> Judgement:
    """Return what came of a job, and everything that was told wrong.

    ``inspected``: the exit code by inspection just before the container was removed, where that was seen.
    """
    judgement = Judgement(job)
    judgement.problems = list(
        _problems(judgement, [entry for entry in story if entry.get("job") == job.id], evidence, inspected)
    )
    return judgement


def _problems(judgement: Judgement, story: Sequence[Entry], evidence: Evidence, inspected: int | None) -> Iterator[str]:
    job = judgement.job
    if evidence.runs > 1:
        yield f"was started {evidence.runs} times"
    results = _results(story)
    if any(entry["what"] == "refused" for entry in story):
        judgement.end = REFUSED
        yield from _refused(story, results)
    elif not evidence.runs and all(entry["what"] == "launching" for entry in story):
        judgement.end = NEVER_RAN  # its parent died before it did anything for it, and told nobody of it
        return
    elif not results:
        yield f"no result was told, only {[entry['what'] for entry in story]}"
        return
    else:
        judgement.end = _way(job, results[-1], evidence, inspected)
        yield from _lies(job, results[-1], evidence, inspected)
        yield from _disagreements(results)
        yield from _log_gaps(job, judgement.end, evidence)
    if judgement.end == NEVER_RAN and any(entry["what"] == "launched" for entry in story):
        yield "its launch returned, and yet it never ran"
    if judgement.end not in job.may_end:
        yield f"ended as {judgement.end!r}, not as {sorted(job.may_end)}: {results and results[-1]}"
    yield from _told_once(story, results)
    yield from _state_gaps(story, bool(evidence.runs) and results[-1:] != [] and results[-1]["exit_code"] is not None)


def journal_gaps(job: Job, story: Iterable[Entry], written: JobHistory | None) -> Iterator[str]:
    """Yield what was told of a job and does not stand in the site's journal, which hears of it first."""
    told = [entry for entry in story if entry.get("job") == job.id]
    results = _results(entry for entry in told if entry["what"] in ("change", "told"))
    if not results:
        return
    if written is None or written.result is None:
        yield "the journal does not know that it has ended"
        return
    if written.result.as_dict() not in results:
        yield f"the journal says that it ended as {written.result}, which nobody was told"
    changes = [(entry["change"]["state"], entry["change"]["time"]) for entry in told if entry["what"] == "change"]
    if missing := [change for change in changes if change not in written.states]:
        yield f"the journal misses {missing}"


def is_whole(line: bytes) -> bool:
    """Whether a line is a JSON object, and has an end."""
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def return_code(exit_code: int | None) -> str:
    """Return the name of the return code for an exit code that nobody asked for."""
    return "INFRASTRUCTURE_ERROR" if exit_code is None else _PASSED_ON.get(exit_code, "EXECUTION_ERROR")


def _results(story: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return every result that was told, by whatever way, in order."""
    told = (entry["change"]["result"] if entry["what"] == "change" else entry.get("result") for entry in story)
    return [result for result in told if result]


def _way(job: Job, result: Entry, evidence: Evidence, inspected: int | None) -> str:
    """Return the way in which a job ended: that of the result, where the job's own notes do not say otherwise."""
    code, aborted = result["exit_code"], result["return_code"] == "ABORTED"
    if aborted and result["ended_by"] == THE_SUITE:
        return ABORTED
    if not aborted and _ended_itself(job, code, evidence):
        if code == job.code:
            return NATURAL
        if code not in (UNKNOWN_TO_ENGINE, None):
            return KILLED
        forgotten = evidence.unseen and code == UNKNOWN_TO_ENGINE and inspected in (code, None)
        return FORGOTTEN if forgotten else LOST
    return KILLED if evidence.runs or not job.noted else NEVER_RAN


def _lies(job: Job, result: Entry, evidence: Evidence, inspected: int | None) -> Iterator[str]:
    code, told = result["exit_code"], result["return_code"]
    told_the_truth = evidence.unseen and code == evidence.ended  # which the engine has forgotten since
    if inspected is not None and code is not None and code != inspected and not told_the_truth:
        yield f"the exit code was told as {code}, inspection said {inspected}"
    if (told == "ABORTED") is not bool(result["ended_by"]):
        yield f"told as {told}, ended by {result['ended_by']!r}"
    if told not in ("ABORTED", return_code(code)):
        yield f"the return code for exit code {code} is {return_code(code)}, told was {told}"
    if told == "SUCCESS" and (evidence.ended if job.noted else job.code) != 0:
        yield f"told as a success, but its own note is {evidence.ended}"


def _ended_itself(job: Job, code: int | None, evidence: Evidence) -> bool:
    return evidence.ended == job.code if job.noted else code == job.code


def _refused(story: Iterable[Entry], results: Iterable[Entry]) -> Iterator[str]:
    if any(result["return_code"] == "SUCCESS" for result in results):
        yield "its launch raised, and yet it was told as a success"
    if any(entry["what"] == "launched" for entry in story):
        yield "its launch raised and returned"


def _disagreements(results: Sequence[Entry]) -> Iterator[str]:
    for result in results:
        if result != results[-1]:
            different = {key: (result[key], value) for key, value in results[-1].items() if result[key] != value}
            yield f"two results were told, which differ in {different}"
            return


def _log_gaps(job: Job, end: str, evidence: Evidence) -> Iterator[str]:
    """Yield what is wrong with the log: all of it must be there, or its beginning if the job was ended."""
    if job.body or end == NEVER_RAN:
        return
    log = evidence.log
    if log is None:
        if evidence.runs and job.whole_log:
            yield "there is no log"
        return
    whole = end == NATURAL and job.whole_log
    if job.gapless and whole and log != job.log:
        yield f"the log is not complete: {_difference(log, job.log)}"
    elif job.gapless and not _is_a_beginning(log, job.log):
        yield f"the log has gaps or repeats itself: {_difference(log, job.log)}"
    elif not _is_in_order(log, job.log):
        yield f"the log repeats itself: {_difference(log, job.log)}"


def _is_in_order(log: Sequence[str], expected: Iterable[str]) -> bool:
    """Whether each line is one that is expected behind the line before."""
    rest = iter(expected)
    return all(line in rest for line in log)


def _is_a_beginning(log: Sequence[str], expected: Sequence[str]) -> bool:
    """Whether the log is a beginning of what is expected; its last line may be torn."""
    beginning = expected[: len(log)]
    return log == beginning or (log[:-1] == beginning[:-1] and beginning[-1].startswith(log[-1]))


def _difference(log: Sequence[str], expected: Sequence[str]) -> str:
    shorter = min(len(log), len(expected))
    at = next((i for i in range(shorter) if log[i] != expected[i]), shorter)
    lines = f"{len(log)} lines instead of {len(expected)}"
    return f"{lines}; from line {at}: {log[at : at + 3]} instead of {expected[at : at + 3]}"


def _told_once(story: Sequence[Entry], results: Sequence[Entry]) -> Iterator[str]:
    """Yield what is wrong with the last event: one, or one in each of several lives, if all but the last ended soon."""
    ends = [entry for entry in story if entry["what"] == "told"]
    if not ends:
        yield "neither JOB_COMPLETED nor JOB_ABORTED was told"
        return
    lives = [entry["life"] for entry in ends]
    if lives != list(range(lives[0], lives[0] + len(lives))):
        yield f"its end was told {len(lives)} times, in the lives {lives}"
    refused = any(entry["what"] == "refused" for entry in story)
    aborted = refused or results[-1]["return_code"] == "ABORTED"
    if any(("aborted" in entry["event"]) is not aborted for entry in ends):
        yield f"its end was told as {ends[-1]['event']}"


def _state_gaps(story: Iterable[Entry], ran: bool) -> Iterator[str]:
    """Yield what is wrong with the state changes: they are one chain. A life may tell the last one again."""
    chain: list[str] = []
    changes = [(entry["life"], entry["change"]) for entry in story if entry["what"] == "change"]
    for life, of_life in groupby(changes, key=lambda change: change[0]):
        for index, (_, change) in enumerate(of_life):
            previous, state = change["previous"], change["state"]
            before = chain[-2] if len(chain) > 1 else None
            told_again = index == 0 and bool(chain) and chain[-1] == state and previous == before
            if not told_again and previous != (chain[-1] if chain else None):
                yield f"{previous} -> {state} was told in life {life} after {chain}"
            if not told_again:
                chain.append(state)
    if ran and "running" not in chain:
        yield f"it ran, and the states told are {chain}"
    if chain and chain[-1] not in _TERMINAL:
        yield f"its last state was not told, only {chain}"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
