"""Says what a job of this site sees: which data and secrets, and what it could compute of them. No value is printed."""

import csv
import os
from pathlib import Path


def means(path: Path) -> dict[str, float]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: sum(float(row[name]) for row in rows) / len(rows) for name in rows[0]}


for dataset in sorted(Path("/data").iterdir()):
    for path in sorted(dataset.glob("*.csv")):
        print(f"{dataset.name}/{path.name}: means", {name: round(mean, 1) for name, mean in means(path).items()})
print("secrets:", ", ".join(sorted(path.name for path in Path("/run/secrets").iterdir())))
print("variables of the study:", ", ".join(sorted(name for name in os.environ if name == "UNIT")) or "none")
