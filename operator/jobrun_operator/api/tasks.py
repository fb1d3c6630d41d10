"""``spec.tasks``: where the payloads of a run come from. One source, the same for the life of the run."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from jobrun_operator.api.base import SpecModel, rule
from jobrun_operator.api.types import (
    BUCKET,
    CONFIG_MAP_KEY,
    PRINTABLE,
    JsonObject,
    Name,
    TaskCount,
    Url,
)

_TELLING_NAME = r"(?i)\.(csv|jsonl|ndjson)$"
_TELLING_URL = r"(?i)^[^?#]*\.(csv|jsonl|ndjson)([?#].*)?$"
_SAY_FORMAT = "{} does not end in .csv, .jsonl or .ndjson: set tasks.format to JSONLines or CSV"


class Format(StrEnum):
    """How the bytes of a source are divided into tasks."""

    JSON_LINES = "JSONLines"
    CSV = "CSV"


class ConfigMapSource(SpecModel):
    """Tasks in a ConfigMap in the namespace of the run: up to 1 MiB, for small runs that live in Git."""

    name: Name
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=CONFIG_MAP_KEY)]
    """Key of the ConfigMap that holds the tasks."""


class ObjectSource(SpecModel):
    """Tasks in an object of the broker's object store: for large inputs; `jobrun submit` uploads one."""

    bucket: Annotated[str, Field(min_length=1, max_length=128, pattern=BUCKET)]
    """Bucket of the NATS object store."""
    name: Annotated[str, Field(min_length=1, max_length=512, pattern=PRINTABLE)]
    """Name of the object in the bucket."""


class HttpSource(SpecModel):
    """Tasks that a web server hands out: read once when the run is accepted, and again after restarts."""

    url: Url
    """Where to GET the tasks; http or https."""
    secret_name: Name | None = None
    """Secret in the namespace of the run whose entries are sent as headers, such as `Authorization`."""


class Tasks(SpecModel):
    """The source of the tasks: exactly one of count, items, configMap, object and http. It can't be changed
    later: for other tasks create another JobRun."""

    count: TaskCount | None = None
    """So many tasks with the payloads `{"index": 0}`, `{"index": 1}` and so on."""
    items: Annotated[tuple[JsonObject, ...], Field(strict=False, min_length=1, max_length=1000)] | None = None
    """The payloads themselves, a JSON object each."""
    config_map: ConfigMapSource | None = None
    object: ObjectSource | None = None
    http: HttpSource | None = None
    format: Annotated[Format, Field(strict=False)] | None = None
    """JSONLines: a JSON value per line, empty lines skipped. CSV: RFC 4180 in UTF-8 with a header row; every
    task is an object of strings. By default the ending of the key, name or URL path decides: .csv is CSV,
    .jsonl and .ndjson are JSONLines; any other ending needs this field."""

    @property
    def known_total(self) -> int | None:
        """How many tasks there are, where the manifest alone says so."""
        return self.count if self.items is None else len(self.items)

    @property
    def resolved_format(self) -> Format | None:
        """``format``, or what the ending of the name says; None for sources that have no format."""
        if self.format is not None:
            return self.format
        if self.config_map is not None:
            name = self.config_map.key
        elif self.object is not None:
            name = self.object.name
        elif self.http is not None:
            name = re.split("[?#]", self.http.url, maxsplit=1)[0]
        else:
            return None
        return Format.CSV if name.lower().endswith(".csv") else Format.JSON_LINES

    @rule(
        "[has(self.count), has(self.items), has(self.configMap), has(self.object), has(self.http)]"
        ".exists_one(one, one)",
        "set exactly one source of tasks: count, items, configMap, object or http",
    )
    def _one_source(self) -> bool:
        sources = (self.count, self.items, self.config_map, self.object, self.http)
        return sum(source is not None for source in sources) == 1

    @rule(
        "!has(self.format) || !(has(self.count) || has(self.items))",
        "format is for configMap, object and http only; leave it out with count or items",
        field="format",
    )
    def _format_of_a_file(self) -> bool:
        return self.format is None or (self.count is None and self.items is None)

    @rule(
        f"!has(self.configMap) || has(self.format) || self.configMap.key.matches(r'{_TELLING_NAME}')",
        _SAY_FORMAT.format("configMap.key"),
        field="configMap",
    )
    def _config_map_format(self) -> bool:
        return bool(not self.config_map or self.format or re.search(_TELLING_NAME, self.config_map.key))

    @rule(
        f"!has(self.object) || has(self.format) || self.object.name.matches(r'{_TELLING_NAME}')",
        _SAY_FORMAT.format("object.name"),
        field="object",
    )
    def _object_format(self) -> bool:
        return bool(not self.object or self.format or re.search(_TELLING_NAME, self.object.name))

    @rule(
        f"!has(self.http) || has(self.format) || self.http.url.matches(r'{_TELLING_URL}')",
        _SAY_FORMAT.format("the path of http.url"),
        field="http",
    )
    def _http_format(self) -> bool:
        return bool(not self.http or self.format or re.search(_TELLING_URL, self.http.url))
