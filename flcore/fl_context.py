"""The properties that travel with an event.

A property is *private* (for this site only) or *public* (may be shown to peers), and *sticky* (kept by the manager
and seen by all its contexts) or not (seen in this context only). A key keeps its attributes for good.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Any, NamedTuple, Self

from .fl_constant import ReservedKey

logger = logging.getLogger(__name__)


class _Prop(NamedTuple):
    value: Any
    private: bool
    sticky: bool

    @property
    def attributes(self) -> str:
        visibility = "private" if self.private else "public"
        return f"{visibility}:{'sticky' if self.sticky else 'non-sticky'}"


class FLContext:
    """Typed-by-key properties of one event, or of one piece of work. Safe to use from several threads.

    Usable as a context manager, as NVIDIA FLARE's is: ``with engine.new_context() as fl_ctx:``.
    """

    def __init__(self) -> None:
        self._props: dict[str, _Prop] = {}
        self._lock = threading.RLock()

    def set_prop(self, key: str, value: Any, private: bool = True, sticky: bool = True) -> bool:
        """Set a property.

        Returns False, logs a warning and changes nothing if the key already has other attributes.
        Raises ValueError if the key is not a string.
        """
        if not isinstance(key, str):
            raise ValueError(f"a property's key must be a str, not {type(key).__name__}")  # noqa: TRY004
        prop = _Prop(value, private, sticky)
        with self._lock:
            existing = self._find(key) or prop
            if existing.attributes == prop.attributes:
                existing = self._store(key, prop)
        if existing is not prop:
            logger.warning("property %r is %s: it was not set as %s", key, existing.attributes, prop.attributes)
        return existing is prop

    def put(self, key: str, value: Any, private: bool, sticky: bool) -> None:
        """Set a property in this context alone, whatever its attributes were. For the framework's own keys."""
        with self._lock:
            self._props[key] = _Prop(value, private, sticky)

    def get_prop(self, key: str, default: Any = None) -> Any:
        """Return a property's value; ``default`` only where the key is not set (a stored None is None)."""
        with self._lock:
            prop = self._find(key)
        return default if prop is None else prop.value

    def get_prop_detail(self, key: str) -> dict[str, Any] | None:
        """Return ``{"value", "private", "sticky"}`` of a property, or None where it is not set."""
        with self._lock:
            prop = self._find(key)
        return None if prop is None else prop._asdict()

    def get_prop_keys(self) -> list[str]:
        """Return the keys that this context holds, then those that only its manager does, as they were set."""
        manager = self._manager()
        with self._lock:
            own = dict.fromkeys(self._props)
        return list(own | dict.fromkeys(manager.sticky_keys() if manager else ()))

    def remove_prop(self, key: str, force_removal: bool = False) -> None:
        """Remove a property from this context. Keys that begin with ``__`` need ``force_removal``."""
        if key.startswith("__") and not force_removal:
            return
        with self._lock:
            self._props.pop(key, None)

    def get_all_public_props(self) -> dict[str, Any]:
        """Return what may be shown to peers."""
        details = {key: self.get_prop_detail(key) for key in self.get_prop_keys()}
        return {key: detail["value"] for key, detail in details.items() if detail and not detail["private"]}

    def get_engine(self, default: Any = None) -> Any:
        """Return what fires this context's events and makes further contexts: the site."""
        return self.get_prop(ReservedKey.ENGINE, default)

    def get_job_id(self, default: Any = None) -> Any:
        """Return the id of the job that this context is about."""
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

    def _manager(self) -> FLContextManager | None:
        prop = self._props.get(ReservedKey.MANAGER)
        return prop.value if prop else None

    def _find(self, key: str) -> _Prop | None:
        own = self._props.get(key)
        if own and not own.sticky:
            return own
        manager = self._manager()
        return (manager and manager.find_sticky(key)) or own

    def _store(self, key: str, prop: _Prop) -> _Prop:
        manager = self._manager()
        if prop.sticky and manager:
            return manager.keep_sticky(key, prop)
        self._props[key] = prop
        return prop


class FLContextManager:
    """Makes the contexts of one site, and holds their sticky properties. Safe to use from several threads."""

    def __init__(
        self,
        engine: Any = None,
        identity_name: str = "",
        job_id: str | None = "",
        public_stickers: dict[str, Any] | None = None,
        private_stickers: dict[str, Any] | None = None,
    ) -> None:
        self._own = {
            ReservedKey.ENGINE: _Prop(engine, private=True, sticky=False),
            ReservedKey.MANAGER: _Prop(self, private=True, sticky=False),
            ReservedKey.RUN_NUM: _Prop(job_id, private=False, sticky=False),
            ReservedKey.IDENTITY_NAME: _Prop(identity_name, private=False, sticky=False),
        }
        self._sticky = {key: _Prop(value, False, True) for key, value in (public_stickers or {}).items()}
        self._sticky |= {key: _Prop(value, True, True) for key, value in (private_stickers or {}).items()}
        self._lock = threading.Lock()

    def new_context(self) -> FLContext:
        """Return a fresh context that knows the engine, the site's name, the job id and all sticky properties."""
        fl_ctx = FLContext()
        for key, prop in self._own.items():
            fl_ctx.put(key, *prop)
        return fl_ctx

    def find_sticky(self, key: str) -> _Prop | None:
        """Return a sticky property. For ``FLContext`` only."""
        with self._lock:
            return self._sticky.get(key)

    def keep_sticky(self, key: str, prop: _Prop) -> _Prop:
        """Store a sticky property and return it, or the one that is there with other attributes. As above."""
        with self._lock:
            existing = self._sticky.get(key)
            if existing and existing.attributes != prop.attributes:
                return existing  # another context was faster
            self._sticky[key] = prop
            return prop

    def sticky_keys(self) -> list[str]:
        """Return the keys of all sticky properties."""
        with self._lock:
            return list(self._sticky)
