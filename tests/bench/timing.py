"""How a measurement is taken. Used in the peers' interpreters too: nothing but the standard library here."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from timeit import Timer
from typing import Any

ROOT = Path(__file__).parents[2]

Measure = Callable[[], Mapping[str, float]]
"""Takes one measurement and returns its value in each unit, such as ``{"ms": 45.1, "MiB": 9.8}``."""

SAMPLE_SECONDS = 0.01

_IMPORT = """
import os, sys, time
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
memory, modules, start = resident(), len(sys.modules), time.process_time()
import {}
print((time.process_time() - start) * 1e3, resident() - memory, len(sys.modules) - modules)
"""


def per_call(function: Callable[..., object], *args: Any, **kwargs: Any) -> Measure:
    """Measure a call in µs: the mean of as many as fit into some milliseconds, without garbage collection.

    It is the process's own time, so that a busy machine counts less: not for calls that wait for something.
    """
    timer = Timer(partial(function, *args, **kwargs), timer=time.process_time)
    number = max(1, round(SAMPLE_SECONDS / (timer.timeit(100) / 100)))
    return lambda: {"µs": timer.timeit(number) / number * 1e6}


def importing(*modules: str) -> Measure:
    """Measure an import in a fresh interpreter of this environment: the process's time, its memory, all modules.

    Without ``site``: its ``.pth`` files have half of the standard library imported where packages are editable.
    """
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]))
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # the first import compiles, and is not counted
    command = [sys.executable, "-S", "-c", _IMPORT.format(", ".join(modules))]

    def measure() -> Mapping[str, float]:
        values = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        return dict(zip(("ms", "MiB", "modules"), map(float, values), strict=True))

    return measure
