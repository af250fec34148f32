"""The properties that travel with an event.

A property is *private* (for this site only) or *public* (may be shown to peers), and *sticky* (kept by the manager
and seen by all its contexts) or not (seen in this context only). A key keeps its attributes for good.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Any, Self

from .fl_constant import ReservedKey

logger = logging.getLogger(__name__)

Attributes = tuple[bool, bool]
"""Whether a property is private, and whether it is sticky."""

Prop = tuple[Any, Attributes]
"""A property as a context holds it: its value and its attributes."""


class FLContext:
    """Typed-by-key properties of one event, or of one piece of work. Safe to use from several threads.

    Usable as a context manager, as NVIDIA FLARE's is: ``with engine.new_context() as fl_ctx:``.
    """

    # Only set_prop takes the lock: it looks and then stores. All else is one operation on a dict, which needs none: the
    # interpreter's lock, or in a free-threaded interpreter the dict's own, keeps each property whole.

    def __init__(self, manager: FLContextManager | None = None) -> None:
        """A context without a manager is empty, and its sticky properties stay in it."""
        self._props = manager.own_props() if manager else {}
        # without a manager there is nobody to share with: one dict is both
        self._sticky = manager.sticky if manager else self._props
        self._lock = manager.lock if manager else threading.RLock()

    def set_prop(self, key: str, value: Any, private: bool = True, sticky: bool = True) -> bool:
        """Set a property.

        Returns False, logs a warning and changes nothing if the key already has other attributes.
        Raises ValueError if the key is not a string.
        """
        if not isinstance(key, str):
            raise ValueError(f"a property's key must be a str, not {type(key).__name__}")  # noqa: TRY004
        attributes = (private, sticky)
        with self._lock:  # two threads that set one key with different attributes: the first decides
            existing = self._find(key)
            if existing is None or existing[1] == attributes:
                (self._sticky if sticky else self._props)[key] = (value, attributes)
                return True
        logger.warning("property %r is %s: it was not set as %s", key, _shown(existing[1]), _shown(attributes))
        return False

    def put(self, key: str, value: Any, private: bool, sticky: bool) -> None:
        """Set a property in this context alone, whatever its attributes were. For the framework's own keys."""
        # these have the same attributes wherever they are set, so there is nothing to look up, and no lock to take
        self._props[key] = (value, (private, sticky))

    def put_all(self, props: dict[str, Prop]) -> None:
        """Set several properties as :meth:`put` does, in one step."""
        self._props.update(props)

    def get_prop(self, key: str, default: Any = None) -> Any:
        """Return a property's value; ``default`` only where the key is not set (a stored None is None)."""
        # `or` looks at the pair, which is true whatever the value is; _find is not called, for this is called most
        prop = self._props.get(key) or self._sticky.get(key)
        return prop[0] if prop else default

    def get_prop_detail(self, key: str) -> dict[str, Any] | None:
        """Return ``{"value", "private", "sticky"}`` of a property, or None where it is not set."""
        prop = self._find(key)
        if prop is None:
            return None
        value, (private, sticky) = prop
        return {"value": value, "private": private, "sticky": sticky}

    def get_prop_keys(self) -> list[str]:
        """Return the keys that this context holds, then those that only its manager does, as they were set."""
        return list(self._props | self._sticky)

    def remove_prop(self, key: str, force_removal: bool = False) -> None:
        """Remove a property from this context. Keys that begin with ``__`` need ``force_removal``."""
        if key.startswith("__") and not force_removal:
            return
        self._props.pop(key, None)

    def get_all_public_props(self) -> dict[str, Any]:
        """Return what may be shown to peers."""
        details = {key: self.get_prop_detail(key) for key in self.get_prop_keys()}
        return {key: detail["value"] for key, detail in details.items() if detail and not detail["private"]}

    def get_engine(self, default: Any = None) -> Any:
        """Return what fires this context's events and makes further contexts: the site."""
        return self.get_prop(ReservedKey.ENGINE, default)

    def get_job_id(self, default: Any = None) -> Any:
        """Return the id of the job that this context is about, a text; ``default`` where it is about none."""
        return self.get_prop(ReservedKey.RUN_NUM, default)

    def get_identity_name(self, default: str = "") -> str:
        """Return the name of the site."""
        return str(self.get_prop(ReservedKey.IDENTITY_NAME, default))

    def set_peer_context(self, ctx: FLContext) -> None:
        """Attach the context of the party at the other end."""
        self.put(ReservedKey.PEER_CTX, ctx, private=True, sticky=False)

    def get_peer_context(self) -> FLContext | None:
        """Return the context of the party at the other end, if there is one."""
        peer: FLContext | None = self.get_prop(ReservedKey.PEER_CTX)
        return peer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release: sticky properties are always in the manager."""

    def __repr__(self) -> str:
        """Name the keys, never the values: some are secret."""
        return f"<{type(self).__name__} {', '.join(self.get_prop_keys())}>"

    def _find(self, key: str) -> Prop | None:
        return self._props.get(key) or self._sticky.get(key)


class FLContextManager:
    """Makes the contexts of one site, and holds their sticky properties. Safe to use from several threads.

    Args:
        engine: what fires events, which a context's ``get_engine`` returns.
        identity_name: the site's name.
        job_id: the job that all its contexts are about; none in a site's own process.
        public_stickers: sticky properties to begin with, which may be shown to peers, and
        private_stickers: those that may not.
    """

    def __init__(
        self,
        engine: Any = None,
        identity_name: str = "",
        job_id: str | None = "",
        public_stickers: dict[str, Any] | None = None,
        private_stickers: dict[str, Any] | None = None,
    ) -> None:
        private, public = (True, False), (False, False)
        self._own: dict[str, Prop] = {
            ReservedKey.ENGINE: (engine, private),
            ReservedKey.MANAGER: (self, private),
            ReservedKey.RUN_NUM: (job_id, public),
            ReservedKey.IDENTITY_NAME: (identity_name, public),
        }
        self.sticky: dict[str, Prop] = {key: (value, (False, True)) for key, value in (public_stickers or {}).items()}
        """The sticky properties of all contexts, which set them under :attr:`lock`."""
        self.sticky |= {key: (value, (True, True)) for key, value in (private_stickers or {}).items()}
        self.lock = threading.RLock()
        """Held while a property is looked for and then set."""

    def new_context(self) -> FLContext:
        """Return a fresh context that knows the engine, the site's name, the job id and all sticky properties."""
        return FLContext(self)

    def own_props(self) -> dict[str, Prop]:
        """Return what each context holds itself from the start, as a dict of its own. For ``FLContext`` only."""
        return self._own.copy()  # much cheaper than to set each anew: a context is made for every event


def log_fields(fl_ctx: FLContext) -> dict[str, str | None]:
    """Return what a record of the log is about that is written in this context: ``extra`` of a log call."""
    return {"site": fl_ctx.get_identity_name(), "job_id": fl_ctx.get_prop(ReservedKey.RUN_NUM)}


def _shown(attributes: Attributes) -> str:
    private, sticky = attributes
    return f"{'private' if private else 'public'}:{'sticky' if sticky else 'non-sticky'}"
