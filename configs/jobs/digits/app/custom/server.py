"""The server's process: `python3 -m server`, with NVIDIA FLARE's arguments, averages what the clients learn.

It leaves `global_model.json` and `metrics.json` in the job's directory.
"""

import json
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from federation import Federation
from http_server import serving
from job_setup import (
    DATASET_VARIABLE,
    ArgumentParser,
    ConfigError,
    JobError,
    environment,
    job_token,
    load_config,
    load_samples,
    read_object,
    run,
)
from softmax import Sample, Update, Weights, accuracy, average, zeros


@dataclass(frozen=True)
class Config:
    """The options of `config_fed_server.json`; timeouts in seconds."""

    rounds: int
    join_timeout: float
    client_timeout: float


class Round(NamedTuple):
    """How a round went: an entry of `metrics.json`."""

    round: int
    """From 1."""
    accuracy: float
    """Of the new global weights, on the held-out images: 0 to 1."""
    clients: list[str]
    """Whose updates were averaged."""
    samples: int
    """How many images these clients have."""
    seconds: float
    time: float
    """When it had gone, in seconds since the epoch: so it has its place among all that is drawn over time."""


def main(argv: Sequence[str]) -> None:
    """Run the whole job."""
    args = _arguments(argv)
    job_dir = args.workspace / args.job_id
    config = load_config(Config, args.app_root / args.config_file, args.options)
    heldout = load_samples(Path(environment(DATASET_VARIABLE)))
    federation = Federation(*participants(job_dir / "meta.json"), config.client_timeout)
    with serving(args.host, args.port, job_token(), federation) as port:
        print(config)
        print(f"listening on {args.host}:{port} for {', '.join(sorted(federation.clients))}")
        federation.wait_for_clients(config.join_timeout)
        weights, history = federated_averaging(federation, config.rounds, heldout)
        save(job_dir / "global_model.json", {"weights": weights})
        save(job_dir / "metrics.json", metrics(history, heldout))
        federation.finish()
    print("finished")


def _arguments(argv: Sequence[str]) -> Namespace:
    parser = ArgumentParser()
    parser.add_argument("-r", dest="app_root", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    return parser.parse(argv)


def participants(meta_file: Path) -> tuple[list[str], int]:
    """Read from the job's metadata who takes part and how many of them are enough."""
    meta = read_object(meta_file)
    clients, enough = meta.get("job_clients"), meta.get("min_clients")
    if not isinstance(clients, list) or not all(isinstance(client, str) for client in clients):
        raise ConfigError(f"{meta_file}: job_clients: a list of client names is needed, not {clients!r}")
    if type(enough) is not int or not 1 <= enough <= len(set(clients)):
        raise ConfigError(f"{meta_file}: min_clients: 1 to {len(set(clients))} is needed, not {enough!r}")
    return clients, enough


def federated_averaging(federation: Federation, rounds: int, heldout: Sequence[Sample]) -> tuple[Weights, list[Round]]:
    """Run all rounds; return the last global weights and what there is to say of each round."""
    weights, history = zeros(), []
    for number in range(1, rounds + 1):
        start = time.monotonic()
        updates = federation.run_round(number, weights)
        weights = average(list(updates.values()))
        history.append(_describe(number, updates, accuracy(weights, heldout), time.monotonic() - start))
        print(_progress(history[-1], rounds, len(heldout)))
    return weights, history


def _describe(number: int, updates: Mapping[str, Update], share: float, seconds: float) -> Round:
    samples = sum(update.samples for update in updates.values())
    return Round(number, share, list(updates), samples, round(seconds, 3), time.time())


def _progress(done: Round, rounds: int, images: int) -> str:
    plural = "s" if len(done.clients) > 1 else ""
    return (
        f"round {done.round}/{rounds}: accuracy {100 * done.accuracy:.1f} % on {images} held-out images, "
        f"{len(done.clients)} client{plural}, {done.seconds:.2f} s"
    )


def metrics(history: Sequence[Round], heldout: Sequence[Sample]) -> dict[str, object]:
    """Return the content of `metrics.json`."""
    return {
        "rounds": [done._asdict() for done in history],
        "final_accuracy": history[-1].accuracy,
        "heldout_samples": len(heldout),
    }


def save(path: Path, value: object) -> None:
    """Write JSON so that a reader, or a kill at any moment, finds either the whole file or none."""
    unfinished = path.with_suffix(".tmp")
    try:
        unfinished.write_text(json.dumps(value), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise JobError(f"cannot write {path}: {error}") from error


if __name__ == "__main__":
    run(main)
