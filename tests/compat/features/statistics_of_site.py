"""What each site tells of its data, which are as many ones as its number, times ten. Custom code of a job."""

from __future__ import annotations

from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.statistics_spec import DataType, Feature, Statistics


class OnesOfSite(Statistics):  # type: ignore[misc]  # its base is not there for mypy
    """Ten ones at site-1, twenty at site-2."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def initialize(self, fl_ctx: FLContext) -> None:
        self._count = 10 * int(fl_ctx.get_identity_name().rpartition("-")[2])

    def features(self) -> dict[str, list[Feature]]:
        return {"train": [Feature("ones", DataType.FLOAT)]}

    def count(self, dataset_name: str, feature_name: str) -> int:
        return self._count

    def sum(self, dataset_name: str, feature_name: str) -> float:
        return float(self._count)

    def mean(self, dataset_name: str, feature_name: str) -> float:
        return 1.0
