"""The Docker SDK's client of an engine, with less ado about each request where the engine is on this host.

What is made of a request by the SDK is for the web: cookies, logins, proxies, redirects, and a pool of connections for
each URL. Through a socket of this host none of that can come, and without it a call costs half of the processor time.
The SDK's own methods stay: they say what is asked, and what the answer means. Its own streams go its own way, too.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from io import BytesIO
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import docker
from docker.transport import UnixHTTPAdapter
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.exceptions import ConnectionError as NoAnswerError
from requests.exceptions import ReadTimeout
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

_OF_THE_SDK = frozenset({"allow_redirects"})
"""What the SDK says of each request, and a socket's answer never needs."""


class EngineClient(docker.DockerClient):
    """A client of the SDK whose trust in its engine is its own affair."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.api = _Api(*args, **kwargs)


class _Api(docker.APIClient):
    local: LocalSocket | None = None
    """Of an engine on this host, once its client is made."""
    engine: Mapping[str, Any] = MappingProxyType({})
    """What the engine has said of itself last, which a client that is told no version begins with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adapter = self.get_adapter(self.base_url)
        if isinstance(adapter, UnixHTTPAdapter):
            self.local = LocalSocket(adapter.socket_path)

    def version(self, api_version: bool = True) -> Any:
        self.engine = super().version(api_version)
        return self.engine

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Keep the engine's authority: REQUESTS_CA_BUNDLE names those of the web, and would take its place."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return settings if self.verify is True else {**settings, "verify": self.verify}

    def request(self, method: Any, url: Any, *args: Any, **how: Any) -> Response:
        """Ask the engine; by the short way if that can be: no stream, and nothing but what the SDK's calls need."""
        if self.local and not args and _is_plain(**how):
            return self.ask(self.local, method, url, **how)
        return super().request(method, url, *args, **how)

    def ask(
        self,
        engine: LocalSocket,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        stream: bool | None = None,
        **_: object,
    ) -> Response:
        """Ask the engine by the short way. A stream is read from the answer's ``raw``, until that is closed."""
        request = PreparedRequest()
        request.method = method
        request.url = f"{url}?{_query(params)}" if params else url
        request.headers = CaseInsensitiveDict[Any]({**self.headers, **(headers or {})})
        request.body = data.encode() if isinstance(data, str) else data
        response = engine.send(request, bool(stream), timeout)
        heeding: Any = self.hooks["response"]
        for heed in heeding:
            response = heed(response, stream=bool(stream), timeout=timeout)
        return response


def open_answer(api: Any, url: str, params: Mapping[str, Any]) -> Response:
    """Return an answer that is read as it comes, from its ``raw``. It is to be closed: by that its connection ends."""
    how: dict[str, Any] = {"params": params, "timeout": api.timeout, "stream": True}
    local = getattr(api, "local", None)  # somebody's own client may be the SDK's
    answer: Response = api.ask(local, "GET", url, **how) if local else api.get(url, **how)
    return answer


class LocalSocket(BaseAdapter):
    """Sends requests to a socket of this host, each by a connection of its own."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def send(
        self, request: PreparedRequest, stream: bool = False, timeout: Any = None, *_: object, **__: object
    ) -> Response:
        """Return the answer: all of it, or, as a ``stream``, what is read of it.

        Raises ReadTimeout and ConnectionError of ``requests``, as the users of the SDK know them.
        """
        connection = _Connection(self._path, timeout)
        try:
            connection.request(str(request.method), request.path_url, request.body, _headers(request))
            answer = connection.getresponse()
            return self._as_response(request, answer, answer if stream else BytesIO(answer.read()))
        except TimeoutError as error:
            raise ReadTimeout(error, request=request) from error
        except (OSError, HTTPException) as error:
            raise NoAnswerError(error, request=request) from error
        finally:
            connection.leave()

    def _as_response(self, request: PreparedRequest, answer: HTTPResponse, body: Any) -> Response:
        response = Response()
        response.status_code, response.reason = answer.status, answer.reason
        response.headers = CaseInsensitiveDict(answer.getheaders())
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = body
        response.url, response.request = str(request.url), request
        response.connection = self  # type: ignore[assignment]  # by it a hook sends the request again
        return response

    def close(self) -> None:
        """There is nothing to close: no connection outlives its request."""


class _Connection(HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # closed with the connection, whatever comes
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def leave(self) -> None:
        """Close the connection when its answer is closed, or at once if there is none."""
        if self.sock:  # else its answer alone has it, as an engine that heeds "close" has it be
            self.sock.close()


def _is_plain(
    params: object = None,
    data: object = None,
    timeout: object = None,
    headers: object = None,
    **others: object,
) -> bool:
    return (
        isinstance(params, Mapping | None)
        and isinstance(data, str | bytes | None)
        and isinstance(timeout, float | int | None)
        and isinstance(headers, Mapping | None)
        and not any(value for name, value in others.items() if name not in _OF_THE_SDK)
    )


def _query(params: Mapping[str, Any]) -> str:
    return urlencode({name: value for name, value in params.items() if value is not None}, doseq=True)


def _headers(request: PreparedRequest) -> dict[str, str]:
    """Return what is sent: the whole answer is read as it comes, and nothing here would unpack it."""
    return {**request.headers, "Accept-Encoding": "identity"}
