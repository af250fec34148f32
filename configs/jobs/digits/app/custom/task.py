"""What the server gives a client to do: the one thing that both sides must understand alike."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from softmax import Weights, checked_weights


class Kind(StrEnum):
    """What to do next."""

    WAIT = "wait"
    TRAIN = "train"
    FINISHED = "finished"


class Task(NamedTuple):
    """The answer to a client that asks for work."""

    kind: Kind
    round: int
    """From 1; 0 unless `kind` is TRAIN."""
    weights: Weights
    """The global weights to start from; empty unless `kind` is TRAIN."""


WAIT = Task(Kind.WAIT, 0, [])
FINISHED = Task(Kind.FINISHED, 0, [])


def checked_task(answer: Mapping[str, object]) -> Task:
    """Return the task that a server claims to have sent; raise ValueError unless it is one."""
    kind, number = Kind(str(answer.get("kind"))), answer.get("round")
    if kind is not Kind.TRAIN:
        return Task(kind, 0, [])
    if type(number) is not int:
        raise ValueError("round: a whole number is needed")
    return Task(kind, number, checked_weights(answer.get("weights")))
