"""Curves as SVG."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from launchers.report.charts import Chart, Line, draw
draw(Chart("accuracy", "round", [Line("site-1", [(1.0, 0.5), (2.0, 0.7)])]))
print([type(finder).__name__ for finder in sys.meta_path if type(finder).__module__.startswith("pygal")])
"""


def test_a_drawing_leaves_no_hook_in_the_imports_of_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
