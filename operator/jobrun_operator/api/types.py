"""The bounded scalars that fields of the API are made of.

Everything has an upper bound, also where nobody will reach it: the API server refuses a CEL rule whose cost
it can't bound, and a typing error of three more zeros is found before it costs anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, JsonValue, PlainSerializer
from pydantic_core import PydanticCustomError

YEAR_SECONDS = 31_536_000
DAY_SECONDS = 86_400
MAX_TASKS = 1_000_000_000

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
CONFIG_MAP_KEY = r"^[-._a-zA-Z0-9]+$"
BUCKET = r"^[-_a-zA-Z0-9]+$"
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
NO_BLANKS = r"^[^\s]+$"
HTTP_URL = r"^https?://[^\s/?#]+([/?#][^\s]*)?$"
PYTHON_FUNCTION = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"

PATTERN_MEANINGS: dict[str, str] = {
    DNS_LABEL: "may hold lower-case letters, digits and '-' only, with a letter or digit at both ends",
    DNS_SUBDOMAIN: "may hold lower-case letters, digits, '-' and '.' only, with letters or digits at ends",
    CONFIG_MAP_KEY: "may hold letters, digits, '-', '_' and '.' only",
    BUCKET: "may hold letters, digits, '-' and '_' only, as names of NATS buckets do",
    PRINTABLE: "must not be empty or hold control characters",
    NO_BLANKS: "must not be empty or hold blanks",
    HTTP_URL: "must be a URL that starts with http:// or https:// and names a host",
    PYTHON_FUNCTION: "must name a Python function as module:function, such as push:call",
}
"""What to tell a person whose text does not match, for each pattern above."""

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
Url = Annotated[str, Field(min_length=1, max_length=2048, pattern=HTTP_URL)]

TaskCount = Annotated[int, Field(ge=1, le=MAX_TASKS)]
Seconds = Annotated[int, Field(ge=1, le=YEAR_SECONDS)]
SecondsOrZero = Annotated[int, Field(ge=0, le=YEAR_SECONDS)]
SecondsInDay = Annotated[int, Field(ge=1, le=DAY_SECONDS)]
SecondsInDayOrZero = Annotated[int, Field(ge=0, le=DAY_SECONDS)]
Replicas = Annotated[int, Field(ge=0, le=1000)]
Count = Annotated[int, Field(ge=0)]

JsonObject = dict[str, JsonValue]


def _text_only(value: Any) -> Any:
    if isinstance(value, int | float):
        raise PydanticCustomError("timestamp", "must be a time such as 2026-01-31T12:00:00Z")
    return value


def _whole_seconds(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(microsecond=0)


@lru_cache(maxsize=4096)  # a status has several, most of which stay from one to the next
def _to_wire(value: datetime) -> str:
    return _whole_seconds(value).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_text_only),
    AfterValidator(_whole_seconds),
    PlainSerializer(_to_wire, return_type=str),
]
"""A time of Kubernetes' own kind (``metav1.Time``): RFC 3339, UTC, whole seconds (in the model too, so that
what is read back equals what was written)."""
