"""What tests of several files share, beside the fixtures that flcore gives its users."""

import threading

from flcore import JobHandleSpec, JobReturnCode

pytest_plugins = ["flcore.testing"]


class PlainHandle(JobHandleSpec):
    """A third party's handle: nothing but what it must have. The test ends its job by :meth:`end`."""

    def __init__(self) -> None:
        self._code = JobReturnCode.UNKNOWN
        self._ended = threading.Event()

    def end(self, code: JobReturnCode) -> None:
        self._code = code
        self._ended.set()

    def poll(self) -> JobReturnCode:
        return self._code

    def wait(self) -> JobReturnCode:
        self._ended.wait()
        return self._code

    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        self.end(JobReturnCode.ABORTED)
        return self._code
