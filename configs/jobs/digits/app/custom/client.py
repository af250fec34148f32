"""A client's process: `python3 -m client`, with NVIDIA FLARE's arguments, trains on its site's images.

It asks the server for work and sends back weights; the images never leave the site.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from http_client import ServerLink
from job_setup import DATASET_VARIABLE, ArgumentParser, environment, job_token, load_config, load_samples, run
from softmax import Sample, Update, Weights, loss, train_epoch
from task import Kind, Task


@dataclass(frozen=True)
class Config:
    """The options of `config_fed_client.json`; timeouts in seconds, see `ServerLink`."""

    local_epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    connect_timeout: float
    server_timeout: float


def main(argv: Sequence[str]) -> None:
    """Take part in the job until the server says that it is finished."""
    args = _arguments(argv)
    app_dir = args.workspace / args.job_id / f"app_{args.client}"
    config = load_config(Config, app_dir / args.config_file, args.options)
    samples = load_samples(Path(environment(DATASET_VARIABLE)))
    server = ServerLink(args.target, job_token(), args.client, config.connect_timeout, config.server_timeout)
    print(config)
    print(f"{args.client} has {len(samples)} images; the server is {args.target}")
    while (task := server.next_task()).kind is not Kind.FINISHED:
        if task.kind is Kind.TRAIN:
            _take_part(server, task, samples, config, args.client)
    server.leave()
    print("finished")


def _arguments(argv: Sequence[str]) -> Namespace:
    parser = ArgumentParser()
    parser.add_argument("-c", dest="client", required=True)
    parser.add_argument("-g", dest="target", required=True)
    parser.add_argument("-scheme", choices=["http"], required=True)
    return parser.parse(argv)


def _take_part(server: ServerLink, task: Task, samples: Sequence[Sample], config: Config, client: str) -> None:
    start = time.monotonic()
    # alike in every run, but not in every round
    shuffle = Random(f"{config.seed} {client} {task.round}")  # noqa: S311
    weights = train(task.weights, samples, config, shuffle, server.heartbeat)
    seconds = time.monotonic() - start
    accepted = server.submit(task.round, Update(weights, len(samples)))
    print(
        f"round {task.round}: loss {loss(weights, samples):.3f} after {config.local_epochs} epochs "
        f"on {len(samples)} images, {seconds:.2f} s{'' if accepted else ', but too late'}"
    )


def train(
    weights: Weights, samples: Sequence[Sample], config: Config, random: Random, alive: Callable[[], None]
) -> Weights:
    """Train all local epochs; calls `alive` after each, so that the server need not wait in silence."""
    for _ in range(config.local_epochs):
        weights = train_epoch(weights, samples, config.batch_size, config.learning_rate, random)
        alive()
    return weights


if __name__ == "__main__":
    run(main)
