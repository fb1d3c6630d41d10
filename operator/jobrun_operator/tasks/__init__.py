"""Where the tasks of a run come from: a number, the manifest, a ConfigMap, an object, a web server.

``open_source`` turns ``spec.tasks`` into a ``TaskSource``; nothing is read before its methods are called. Reading is
streaming and its memory flat: a source may be larger than the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobrun_operator.api import Format, Tasks
from jobrun_operator.engine.ports import ConfigMaps, Objects, Secrets, TaskSource
from jobrun_operator.errors import InputError
from jobrun_operator.tasks.configmap import ConfigMapBytes
from jobrun_operator.tasks.counted import CountedSource
from jobrun_operator.tasks.formats import PARSERS
from jobrun_operator.tasks.http import HttpBytes
from jobrun_operator.tasks.inline import InlineSource
from jobrun_operator.tasks.objects import ObjectBytes
from jobrun_operator.tasks.streamed import ByteStream, StreamedSource

__all__ = ["SourcePorts", "open_source"]


@dataclass(frozen=True, slots=True)
class SourcePorts:
    """The stores that this mode has; None: not in this mode."""

    config_maps: ConfigMaps | None = None
    secrets: Secrets | None = None
    objects: Objects | None = None


def open_source(
    tasks: Tasks, *, namespace: str, ports: SourcePorts, max_payload: int, display: str = ""
) -> TaskSource:
    """The source that ``spec.tasks`` describes.

    ``max_payload`` is what a task may have at most, in bytes; ``display`` is what messages call an object, where its
    name in the store says nothing to the user. Raises InputError where this mode has no such store.
    """
    if tasks.count is not None:
        return CountedSource(tasks.count)
    if tasks.items is not None:
        return InlineSource(tasks.items, max_payload=max_payload)
    stream = _stream(tasks, namespace, ports, display)
    parser = PARSERS[tasks.resolved_format or Format.JSON_LINES]
    return StreamedSource(stream, parser, max_payload=max_payload)


def _stream(tasks: Tasks, namespace: str, ports: SourcePorts, display: str) -> ByteStream:
    if (key := tasks.config_map) is not None:
        if ports.config_maps is None:
            raise InputError(
                "spec.tasks.configMap",
                "there are no ConfigMaps here; give the data as a file with --tasks instead",
            )
        return ConfigMapBytes(ports.config_maps, namespace, key.name, key.key)
    if (stored := tasks.object) is not None:
        if ports.objects is None:
            raise InputError(
                "spec.tasks.object",
                "there is no object store here; use tasks.http or tasks.configMap instead",
            )
        return ObjectBytes(ports.objects, stored.bucket, stored.name, display)
    if (address := tasks.http) is not None:
        if address.secret_name and ports.secrets is None:
            raise InputError(
                "spec.tasks.http.secretName",
                "there are no Secrets here; download the data and give the file with --tasks instead",
            )
        return HttpBytes(address.url, ports.secrets, namespace, address.secret_name)
    raise InputError("spec.tasks", "set exactly one source of tasks: count, items, configMap, object or http")
