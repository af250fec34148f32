"""Benches: each measures a thing and its floor in turns, in the same run, and reports the ratio of the medians.

``make bench`` runs all of them, ``make bench ONLY="fire_event launch"`` some (by function, case or module); with
``PEERS=1``, NVIDIA FLARE's packages take their turns too. Nothing is asserted: a target that is missed is shown.

To add one, write a module (no list names them) with a generator that yields a :class:`~tests.bench.framework.Contest`::

    @bench(cases=(1, 8), rounds=20)
    def launch(threads: int) -> Iterator[Contest]:
        \"\"\"Forty jobs.\"\"\"
        with a_site() as site:
            yield Contest(
                {"flcore": lambda: {"ms": time_of(site, threads)}, "docker-py": lambda: {"ms": time_of_floor(threads)}},
                floor="docker-py",
                targets={"ms": times_floor(1.05)},
            )

and, for the peers, a function of that name in ``nvflare_peer.py``.
"""
