"""What a site's engine has of what the site's config names, for whoever checks the site. Only asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from flcore.errors import JobLaunchError
from flcore.job_launcher_spec import Check

from ..policy.job_network import name_of_shared
from ..policy.job_policy import SitePolicy
from ..runtime.base import Runtime
from ..runtime.engine_traits import EngineTraits


def checked_engine(check: Callable[[EngineTraits], None], engine: EngineTraits) -> Iterable[Check]:
    """Say why no job can run on an engine that answers, if so it is."""
    try:
        check(engine)
    except JobLaunchError as error:
        yield Check("engine", False, str(error))


def checked_of_studies(runtime: Runtime, policy: SitePolicy, *, with_images: bool) -> Iterable[Check]:
    """Say whether the networks of studies are there, and the images, where none is pulled."""
    for network in filter(None, map(name_of_shared, policy.study_networks())):
        yield from (found for found in runtime.check(None, network) if found.what == "network")
    for image in policy.study_images() if with_images else ():
        yield from (found for found in runtime.check(image, None) if found.what == "image")


def checked_images(runtime: Runtime, images: Iterable[str | None], ahead: Collection[str]) -> Iterable[Check]:
    """Say of images that are pulled which are there, and when the others come."""
    for name in dict.fromkeys(filter(None, (*images, *ahead))):
        when = "at the site's start ('prepull')" if name in ahead else "for the first job that wants it ('pull_policy')"
        missing = not runtime.find_image(name)
        yield Check("image", True, f"{name} is not there; it is pulled {when}" if missing else name, warning=missing)
