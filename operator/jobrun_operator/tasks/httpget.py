"""One GET for a source of tasks: headers, redirects, and what a status says about trying again.

Credentials never leave the origin that they were given for (RFC 9110, section 15.4): where any are sent,
a redirect to another origin is refused.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from jobrun_operator.errors import SourceError, SourceUnavailable
from jobrun_operator.tasks.streamed import changed

WHERE = "spec.tasks.http.url"
WHERE_SECRET = "spec.tasks.http.secretName"  # noqa: S105 - the path of a field

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection must stand."""

READ_TIMEOUT = 60.0
"""Seconds without a byte after which a server counts as gone; not counted while the reader is the slow one."""

MAX_REDIRECTS = 10

_REDIRECTS = {301, 302, 303, 307, 308}
_TRY_AGAIN = {408, 416, 425, 429}
"""416: only a body that was cut short is asked for by a range, and then all of it has to be read again."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Getter:
    """Sends the same request again and again, in one session."""

    def __init__(self, session: aiohttp.ClientSession, url: str, credentials: Mapping[str, str]) -> None:
        self._session = session
        self._headers = CIMultiDict({"Accept": "*/*", "Accept-Encoding": "identity"})
        try:
            self._url = URL(url)
            if self._url.scheme not in ("http", "https") or not self._url.host:
                raise ValueError("it needs a scheme, http or https, and a host")
        except ValueError as error:
            raise SourceError(WHERE, f"not an address: {error}") from error
        self._credentials = bool(credentials)
        if self._url.user is not None:
            login = f"{self._url.user}:{self._url.password or ''}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
            self._url = self._url.with_user(None)
            self._credentials = True
        self._headers.update(checked_headers(credentials))
        self.name = str(self._url.with_query(None).with_fragment(None))
        """The address for messages: without login and query, which may be secrets."""

    async def get(self, conditions: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The response, its body unread, for the caller to close; 200, 203 or 206. Raises SourceError,
        SourceUnavailable."""
        headers = self._headers.copy()
        headers.update(conditions)
        url = self._url
        with self.translated():
            for _ in range(MAX_REDIRECTS + 1):
                response = await self._session.get(url, headers=headers, allow_redirects=False)
                if response.status not in _REDIRECTS:
                    self._check(response)
                    return response
                response.close()
                url = self._target(url, response.headers.get("Location", ""))
        raise SourceError(WHERE, f"{self.name} redirects more than {MAX_REDIRECTS} times")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The client's errors as ours."""
        try:
            yield
        except aiohttp.InvalidURL as error:
            raise SourceError(WHERE, f"not an address: {error}") from error
        except TimeoutError as error:
            raise SourceUnavailable(f"{self.name} does not answer in time") from error
        except aiohttp.ClientConnectorError as error:
            raise SourceUnavailable(f"{self.name} can't be read: {_why(error.os_error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise SourceUnavailable(f"{self.name} can't be read: {error or type(error).__name__}") from error

    def _target(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location))
            origin = target.origin()
            known = target.scheme in ("http", "https")
        except ValueError:
            known = False
        if not location or not known:
            raise SourceError(
                WHERE, f"{self.name} redirects to {location!r}, which is not an http or https address"
            )
        if self._credentials and origin != url.origin():
            raise SourceError(
                WHERE,
                f"{self.name} redirects to another origin, {origin}, and credentials don't follow there; "
                "set the url to where the data is",
            )
        return target

    def _check(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status in (200, 203, 206):
            return
        response.close()
        answer = f"{self.name} answered {status} {response.reason or ''}".rstrip()
        if status in _TRY_AGAIN or status >= 500:
            raise SourceUnavailable(answer)
        if status == 412:
            raise changed(self.name)
        if status in (401, 403):
            raise SourceError(WHERE, f"{answer}; its headers are the entries of {WHERE_SECRET}: check them")
        raise SourceError(WHERE, f"{answer}; check the address")


def _why(error: OSError) -> str:
    """In the system's words, without the client's."""
    if (
        isinstance(error, ssl.SSLError) or not error.errno or error.errno < 0
    ):  # below zero: of a name's look-up
        return error.strerror or str(error)
    return os.strerror(error.errno)


def checked_headers(entries: Mapping[str, str]) -> CIMultiDict[str]:
    """A Secret's entries as header fields, without the newline that often ends a Secret's value."""
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in entries.items():
        if not _TOKEN.fullmatch(name):
            raise SourceError(WHERE_SECRET, f"its entry {name!r} is no name of a header")
        text = value.strip()
        if not text.isprintable():
            raise SourceError(
                WHERE_SECRET, f"the value of its entry {name!r} can't be a header: it is not one line of text"
            )
        headers[name] = text
    return headers
