"""All faults."""

from . import engine_faults, outside_faults, parent_faults, resource_faults, stream_faults

FAULTS = (
    *parent_faults.FAULTS,
    *engine_faults.FAULTS,
    *stream_faults.FAULTS,
    *outside_faults.FAULTS,
    *resource_faults.FAULTS,
)
