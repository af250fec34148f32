"""Softmax regression and federated averaging, in plain Python: no input, no output, no clock.

A model is ten rows of weights, one per digit: a weight for each of the 64 pixels and, last, the digit's bias.
"""

from collections.abc import Iterator, Sequence
from math import exp, log
from operator import mul
from random import Random
from typing import NamedTuple

DIGITS = 10
INPUTS = 8 * 8 + 1
"""The pixels of an image, and the constant 1.0 that the bias is multiplied by."""

MAX_SAMPLES = 10**9
MAX_WEIGHT = 1e6
"""No honest training gets near these; the bounds keep an average of honest and absurd updates finite."""

Weights = list[list[float]]
"""`DIGITS` rows of `INPUTS` numbers."""


class Sample(NamedTuple):
    """One image."""

    inputs: list[float]
    """`INPUTS` numbers from 0 to 1."""
    digit: int


class Update(NamedTuple):
    """What one site learned in one round."""

    weights: Weights
    samples: int
    """How many images it was learned from: the update's weight in the average."""


def sample(pixels: Sequence[int], digit: int) -> Sample:
    """Scale 64 pixel values (0 to 16) to 0..1 and add the bias input."""
    return Sample([pixel / 16 for pixel in pixels] + [1.0], digit)


def zeros() -> Weights:
    """Return a model that finds all digits equally likely."""
    return [[0.0] * INPUTS for _ in range(DIGITS)]


def scores(weights: Weights, inputs: Sequence[float]) -> list[float]:
    """Return one score per digit; the highest is the model's guess."""
    return [sum(map(mul, row, inputs)) for row in weights]


def probabilities(weights: Weights, inputs: Sequence[float]) -> list[float]:
    """Return the probability of each digit."""
    raw = scores(weights, inputs)
    highest = max(raw)  # subtracted so that exp() cannot overflow
    powers = [exp(score - highest) for score in raw]
    total = sum(powers)
    return [power / total for power in powers]


def loss(weights: Weights, samples: Sequence[Sample]) -> float:
    """Return the mean cross-entropy in nats: log(10) for a model that only guesses, 0 for a perfect one."""
    chances = (probabilities(weights, inputs)[digit] for inputs, digit in samples)
    return -sum(log(max(chance, 1e-300)) for chance in chances) / len(samples)


def accuracy(weights: Weights, samples: Sequence[Sample]) -> float:
    """Return the share (0 to 1) of the images that the model reads rightly."""
    guesses = [scores(weights, inputs) for inputs, _ in samples]
    right = sum(guess.index(max(guess)) == digit for guess, (_, digit) in zip(guesses, samples, strict=True))
    return right / len(samples)


def train_epoch(
    weights: Weights, samples: Sequence[Sample], batch_size: int, learning_rate: float, random: Random
) -> Weights:
    """Go through all samples once, in random order, and return new weights; `weights` stays as it was."""
    shuffled = random.sample(samples, len(samples))
    for batch in _batches(shuffled, batch_size):
        weights = _descend(weights, batch, learning_rate)
    return weights


def _batches(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    return (samples[start : start + size] for start in range(0, len(samples), size))


def _descend(weights: Weights, batch: Sequence[Sample], learning_rate: float) -> Weights:
    """Take one step down the gradient of the batch's mean loss."""
    moved = [row[:] for row in weights]
    rate = learning_rate / len(batch)
    for inputs, digit in batch:
        errors = probabilities(weights, inputs)
        errors[digit] -= 1
        for row, error in zip(moved, errors, strict=True):
            _add(row, -rate * error, inputs)
    return moved


def _add(row: list[float], factor: float, values: Sequence[float]) -> None:
    row[:] = [weight + factor * value for weight, value in zip(row, values, strict=True)]


def average(updates: Sequence[Update]) -> Weights:
    """Return the mean of the updates' weights, each counted as often as it has samples."""
    total = sum(samples for _, samples in updates)
    mean = zeros()
    for weights, samples in updates:
        for mean_row, row in zip(mean, weights, strict=True):
            _add(mean_row, samples / total, row)
    return mean


def checked_update(weights: object, samples: object) -> Update:
    """Return the update that another party claims to have sent; raise ValueError unless it is one."""
    if type(samples) is not int or not 1 <= samples <= MAX_SAMPLES:
        raise ValueError(f"samples: a whole number from 1 to {MAX_SAMPLES} is needed")
    return Update(checked_weights(weights), samples)


def checked_weights(value: object) -> Weights:
    """Return another party's weights as floats; raise ValueError unless shape and values are a model's."""
    if not isinstance(value, list) or len(value) != DIGITS:
        raise ValueError(f"weights: {DIGITS} rows are needed")
    return [_checked_row(row) for row in value]


def _checked_row(row: object) -> list[float]:
    if not isinstance(row, list) or len(row) != INPUTS:
        raise ValueError(f"weights: {INPUTS} numbers are needed in a row")
    return [_checked_number(number) for number in row]


def _checked_number(number: object) -> float:
    # the comparison also refuses NaN, both infinities and integers too long for a float
    if isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= MAX_WEIGHT:
        return float(number)
    raise ValueError(f"weights: numbers from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g} are needed")
