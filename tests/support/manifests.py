"""Manifests that are acceptable, and those that are not with what a user must be told: one table for every tier.

The models, the CRD's schema with its CEL rules, a real API server and the command line are all held to it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobrun_operator.api.schema import Schema, object_schema

Manifest = dict[str, Any]

DROP = object()
"""As a value: take the field out."""


@dataclass(frozen=True)
class Valid:
    """``local``: only the local mode takes it."""

    name: str
    manifest: Manifest
    local: bool = False


@dataclass(frozen=True)
class Invalid:
    """``says`` is part of the message. The API server refuses it too."""

    name: str
    manifest: Manifest
    says: str
    local: bool = True
    """The local mode refuses it too."""


def manifest(**changes: Any) -> Manifest:
    """The smallest JobRun with fields of spec replaced: ``manifest(rate={...})``; DROP takes one out."""
    spec: dict[str, Any] = {
        "tasks": {"count": 10},
        "worker": {"image": "registry.example/push:1", "python": "push:call"},
    }
    spec.update(changes)
    return {
        "apiVersion": "jobrun.dev/v1alpha1",
        "kind": "JobRun",
        "metadata": {"name": "backfill"},
        "spec": copy.deepcopy({name: value for name, value in spec.items() if value is not DROP}),
    }


def worker(**changes: Any) -> Manifest:
    """As ``manifest``, with fields of ``spec.worker`` replaced."""
    fields = {**manifest()["spec"]["worker"], **changes}
    return manifest(worker={name: value for name, value in fields.items() if value is not DROP})


def named(**metadata: Any) -> Manifest:
    """As ``manifest``, with other metadata."""
    return {**manifest(), "metadata": {"name": "backfill", **metadata}}


def pod(*containers: Any, **fields: Any) -> Manifest:
    """As ``manifest``, with a pod template of these containers."""
    return worker(template={"spec": {"containers": list(containers), **fields}})


def with_field(base: Manifest, path: str, value: Any) -> Manifest:
    """``base`` with the field at ``path`` (``spec.tasks.items[].a``: of the first entry) set to ``value``."""
    result = copy.deepcopy(base)
    at: Any = result
    *outer, last = [(part.removesuffix("[]"), part.endswith("[]")) for part in path.split(".")]
    for name, is_list in outer:
        at = at.setdefault(name, [{}] if is_list else {})
        if is_list:
            at = at[0]
    at[last[0]] = [value] if last[1] else value
    return result


EXAMPLE = manifest(
    tasks={"object": {"bucket": "inputs", "name": "ids.csv"}}, rate={"tasks": 600, "periodSeconds": 60}
)

FULL = manifest(
    suspend=True,
    tasks={"http": {"url": "https://example.com/ids", "secretName": "partner"}, "format": "CSV"},
    rate={"tasks": 600, "periodSeconds": 60, "burst": 20},
    maxWaiting=40,
    maxOutstanding=1000,
    worker={
        "image": "registry.example/push:1",
        "exec": {"command": ["push", "--quiet", ""]},
        "concurrency": 4,
        "taskTimeoutSeconds": 30,
        "natsSecretName": "nats-workers",
        "template": {
            "metadata": {"labels": {"team": "catalogue"}},
            "spec": {
                "serviceAccountName": "push",
                "restartPolicy": "Always",
                "containers": [
                    {
                        "name": "worker",
                        "resources": {"limits": {"memory": "1Gi"}},
                        "env": [{"name": "LEVEL", "value": "info"}],
                    },
                    {"name": "proxy", "image": "proxy:2", "command": ["proxy"], "args": ["--port", "1"]},
                ],
            },
        },
    },
    scaling={
        "minReplicas": 1,
        "maxReplicas": 20,
        "tasksPerReplica": 100,
        "scaleUp": {"replicas": 2, "periodSeconds": 10},
        "scaleDown": {"stabilizationWindowSeconds": 0},
    },
    retry={"maxAttempts": 1, "initialDelaySeconds": 0, "maxDelaySeconds": 0},
    failurePolicy={"maxFailedPercent": 5},
    results={"retain": True},
    activeDeadlineSeconds=86_400,
    cleanupSecondsAfterFinished=0,
    ttlSecondsAfterFinished=3600,
)

VALID: tuple[Valid, ...] = (
    Valid("smallest", manifest()),
    Valid("example", EXAMPLE),
    Valid("every field", FULL),
    Valid("most tasks", manifest(tasks={"count": 1_000_000_000})),
    Valid("items", manifest(tasks={"items": [{"id": 1, "deep": {"a": [1, None, 2.5, True, "x"]}}, {}]})),
    Valid("1000 items", manifest(tasks={"items": [{"id": number} for number in range(1000)]})),
    Valid("config map", manifest(tasks={"configMap": {"name": "ids", "key": "ids.jsonl"}})),
    Valid("ndjson", manifest(tasks={"configMap": {"name": "a.b", "key": "IDS.NDJSON"}})),
    Valid(
        "object of a said format",
        manifest(tasks={"object": {"bucket": "b", "name": "a b/ü"}, "format": "CSV"}),
    ),
    Valid(
        "ending against format",
        manifest(tasks={"object": {"bucket": "b", "name": "a.csv"}, "format": "JSONLines"}),
    ),
    Valid("url with a query", manifest(tasks={"http": {"url": "http://h:8080/ids.csv?from=1#top"}})),
    Valid("spread", manifest(rate={"spreadOverSeconds": 3600})),
    Valid("burst with spread", manifest(rate={"spreadOverSeconds": 3600, "burst": 5})),
    Valid("null is absent", manifest(rate=None, maxWaiting=None, retry={"maxAttempts": None})),
    Valid("empty objects", manifest(scaling={}, retry={}, results={}, circuitBreaker={})),
    Valid(
        "batches",
        manifest(worker={"image": "a", "python": "a:b", "concurrency": 16, "batchSize": 1000}),
    ),
    Valid("processes", manifest(worker={"image": "a", "python": "a:b", "processes": 64})),
    Valid(
        "batches in processes",
        manifest(
            worker={"image": "a", "python": "a:b", "concurrency": 1, "batchSize": 1000, "processes": 16}
        ),
    ),
    Valid("without a circuit breaker", manifest(circuitBreaker={"enabled": False})),
    Valid(
        "circuit breaker",
        manifest(
            circuitBreaker={
                "consecutiveFailures": 1,
                "failurePercent": 100,
                "windowSeconds": 3600,
                "minimumAttempts": 1_000_000,
                "openSeconds": 3600,
            }
        ),
    ),
    Valid("no workers", manifest(scaling={"minReplicas": 0, "maxReplicas": 0})),
    Valid("equal bounds", manifest(scaling={"minReplicas": 10})),
    Valid("drain", manifest(scaling={"drainSeconds": 1})),
    Valid("no failure allowed", manifest(failurePolicy={"maxFailedTasks": 0})),
    Valid("post", worker(python=DROP, http={"url": "http://127.0.0.1:8080/task"})),
    Valid("nested module", worker(python="a.b_c.d1:run")),
    Valid("template of a sidecar", pod({"name": "proxy", "image": "p", "env": [{"name": "JOBRUN_X"}]})),
    Valid("template without pod", worker(template={})),
    Valid("longest name", named(name="a" * 52)),
    Valid("name of digits", named(name="1")),
    Valid("paused in Git", named(annotations={"jobrun.dev/paused": "true"}, labels={"a": "b"})),
    Valid("no image", worker(image=DROP), local=True),
)

_SOURCES = "set exactly one source of tasks: count, items, configMap, object or http"
_HANDLERS = "set exactly one handler: python, exec or http"
_RATE = "set either tasks and periodSeconds, or spreadOverSeconds; for no limit leave out rate"
_PAIR = "tasks and periodSeconds go together"
_MAP = {"name": "ids", "key": "ids.csv"}
_OBJECT = {"bucket": "inputs", "name": "ids.csv"}

INVALID: tuple[Invalid, ...] = (
    # the object
    Invalid("no spec", {**manifest(), "spec": None}, "spec: required, and missing"),
    Invalid("spec is a list", {**manifest(), "spec": []}, "spec: must be an object with fields, is a list"),
    Invalid("no metadata", {**manifest(), "metadata": None}, "metadata: required, and missing"),
    Invalid("no name", {**manifest(), "metadata": {}}, "metadata.name: required, and missing"),
    Invalid("long name", named(name="a" * 53), "metadata.name: must have at most 52 characters, has 53"),
    Invalid(
        "capital name", named(name="Backfill"), "metadata.name: may hold lower-case letters, digits and '-'"
    ),
    Invalid("dotted name", named(name="a.b"), 'is the text "a.b"'),
    Invalid("name ends in dash", named(name="a-"), "a letter or digit at both ends"),
    Invalid("empty name", named(name=""), "metadata.name: must not be empty"),
    Invalid("number as name", named(name=5), "metadata.name: must be text, is 5: put it in quotes"),
    Invalid(
        "bool as annotation", named(annotations={"jobrun.dev/paused": True}), "must be text, is true: put it"
    ),
    Invalid("unknown on top", {**manifest(), "specs": {}}, "specs: unknown field; did you mean spec?"),
    # tasks
    Invalid("no tasks", manifest(tasks=DROP), "spec.tasks: required, and missing"),
    Invalid("no source", manifest(tasks={}), f"spec.tasks: {_SOURCES}"),
    Invalid("format only", manifest(tasks={"format": "CSV"}), f"spec.tasks: {_SOURCES}"),
    Invalid("two sources", manifest(tasks={"count": 1, "items": [{}]}), f"spec.tasks: {_SOURCES}"),
    Invalid("two files", manifest(tasks={"configMap": _MAP, "object": _OBJECT}), f"spec.tasks: {_SOURCES}"),
    Invalid("count of none", manifest(tasks={"count": 0}), "spec.tasks.count: must be at least 1, is 0"),
    Invalid("negative count", manifest(tasks={"count": -5}), "spec.tasks.count: must be at least 1, is -5"),
    Invalid(
        "huge count", manifest(tasks={"count": 10**9 + 1}), "spec.tasks.count: must be at most 1,000,000,000"
    ),
    Invalid("count beyond 64 bits", manifest(tasks={"count": 10**19}), "must be at most 1,000,000,000"),
    Invalid("count in quotes", manifest(tasks={"count": "5"}), 'is the text "5": leave out the quotes'),
    Invalid(
        "half a task", manifest(tasks={"count": 1.5}), "spec.tasks.count: must be a whole number, is 1.5"
    ),
    Invalid("count with point", manifest(tasks={"count": 5.0}), "is 5.0: write it without point"),
    Invalid(
        "count is true", manifest(tasks={"count": True}), "spec.tasks.count: must be a whole number, is true"
    ),
    Invalid("no items", manifest(tasks={"items": []}), "spec.tasks.items: must not be empty"),
    Invalid(
        "1001 items", manifest(tasks={"items": [{}] * 1001}), "must have at most 1,000 entries, has 1,001"
    ),
    Invalid("items of numbers", manifest(tasks={"items": [{}, 5]}), "spec.tasks.items[1]: must be an object"),
    Invalid("item of null", manifest(tasks={"items": [None]}), "spec.tasks.items[0]: must be an object"),
    Invalid("items as object", manifest(tasks={"items": {"a": 1}}), "spec.tasks.items: must be a list"),
    Invalid("map without key", manifest(tasks={"configMap": {"name": "a"}}), "tasks.configMap.key: required"),
    Invalid(
        "map of bad name",
        manifest(tasks={"configMap": {**_MAP, "name": "A"}}),
        "tasks.configMap.name: may hold",
    ),
    Invalid(
        "map of bad key",
        manifest(tasks={"configMap": {**_MAP, "key": "a/b.csv"}}),
        "tasks.configMap.key: may hold",
    ),
    Invalid(
        "key of no format",
        manifest(tasks={"configMap": {**_MAP, "key": "ids"}}),
        "configMap.key does not end in",
    ),
    Invalid(
        "bucket with dot", manifest(tasks={"object": {**_OBJECT, "bucket": "a.b"}}), "names of NATS buckets"
    ),
    Invalid("no bucket", manifest(tasks={"object": {"name": "a.csv"}}), "spec.tasks.object.bucket: required"),
    Invalid(
        "object with newline",
        manifest(tasks={"object": {**_OBJECT, "name": "a\nb.csv"}}),
        "control characters",
    ),
    Invalid(
        "object of no format",
        manifest(tasks={"object": {**_OBJECT, "name": "ids.txt"}}),
        "object.name does not end",
    ),
    Invalid(
        "ftp",
        manifest(tasks={"http": {"url": "ftp://h/a.csv"}}),
        "spec.tasks.http.url: must be a URL that starts",
    ),
    Invalid("no host", manifest(tasks={"http": {"url": "http:///a.csv"}}), "names a host"),
    Invalid(
        "url with blank",
        manifest(tasks={"http": {"url": "http://h/a b.csv"}}),
        "spec.tasks.http.url: must be",
    ),
    Invalid(
        "long url", manifest(tasks={"http": {"url": "http://h/" + "a" * 2048}}), "at most 2,048 characters"
    ),
    Invalid(
        "url of no format",
        manifest(tasks={"http": {"url": "http://h/a?f=x.csv"}}),
        "path of http.url does not end",
    ),
    Invalid(
        "unknown format", manifest(tasks={"object": _OBJECT, "format": "csv"}), "must be JSONLines or CSV, is"
    ),
    Invalid(
        "format of count", manifest(tasks={"count": 1, "format": "CSV"}), "spec.tasks.format: format is for"
    ),
    Invalid(
        "format of items",
        manifest(tasks={"items": [{}], "format": "CSV"}),
        "leave it out with count or items",
    ),
    Invalid(
        "misspelt source",
        manifest(tasks={"configmap": _MAP}),
        "configmap: unknown field; did you mean configMap?",
    ),
    # rate
    Invalid("empty rate", manifest(rate={}), f"spec.rate: {_RATE}"),
    Invalid("burst only", manifest(rate={"burst": 5}), f"spec.rate: {_RATE}"),
    Invalid("tasks in no time", manifest(rate={"tasks": 5}), f"spec.rate.tasks: {_PAIR}"),
    Invalid("time without tasks", manifest(rate={"periodSeconds": 5}), f"spec.rate.tasks: {_PAIR}"),
    Invalid(
        "rate and spread", manifest(rate={"tasks": 1, "periodSeconds": 1, "spreadOverSeconds": 9}), _RATE
    ),
    Invalid(
        "rate of none", manifest(rate={"tasks": 0, "periodSeconds": 1}), "spec.rate.tasks: must be at least 1"
    ),
    Invalid(
        "no time at all",
        manifest(rate={"tasks": 1, "periodSeconds": 0}),
        "spec.rate.periodSeconds: must be at",
    ),
    Invalid(
        "more than a year", manifest(rate={"spreadOverSeconds": 31_536_001}), "must be at most 31,536,000"
    ),
    Invalid(
        "no burst", manifest(rate={"tasks": 1, "periodSeconds": 1, "burst": 0}), "spec.rate.burst: must be at"
    ),
    Invalid("snake case", manifest(rate={"tasks": 1, "period_seconds": 1}), "did you mean periodSeconds?"),
    Invalid(
        "rate as text",
        manifest(rate="600/min"),
        'spec.rate: must be an object with fields, is the text "600/min"',
    ),
    Invalid("nothing may wait", manifest(maxWaiting=0), "spec.maxWaiting: must be at least 1, is 0"),
    Invalid("no outstanding", manifest(maxOutstanding=-1), "spec.maxOutstanding: must be at least 1, is -1"),
    # worker
    Invalid("no worker", manifest(worker=DROP), "spec.worker: required, and missing"),
    Invalid("no image", worker(image=DROP), "spec.worker.image: required on Kubernetes", local=False),
    Invalid("empty image", worker(image=""), "spec.worker.image: must not be empty"),
    Invalid("image with blank", worker(image="a b"), "spec.worker.image: must not be empty or hold blanks"),
    Invalid("no handler", worker(python=DROP), f"spec.worker: {_HANDLERS}"),
    Invalid("two handlers", worker(exec={"command": ["a"]}), f"spec.worker: {_HANDLERS}"),
    Invalid(
        "no function",
        worker(python="push"),
        "spec.worker.python: must name a Python function as module:function",
    ),
    Invalid("path of a file", worker(python="push.py/call"), "module:function, such as push:call"),
    Invalid(
        "no command", worker(python=DROP, exec={"command": []}), "spec.worker.exec.command: must not be empty"
    ),
    Invalid(
        "no program",
        worker(python=DROP, exec={"command": ["", "a"]}),
        "the first entry is the program to run",
    ),
    Invalid(
        "command line", worker(python=DROP, exec={"command": "ls -l"}), 'must be a list, is the text "ls -l"'
    ),
    Invalid(
        "number in command",
        worker(python=DROP, exec={"command": ["a", 5]}),
        "spec.worker.exec.command[1]: must be text",
    ),
    Invalid(
        "exec as list", worker(python=DROP, exec=["a"]), "spec.worker.exec: must be an object with fields"
    ),
    Invalid("post nowhere", worker(python=DROP, http={}), "spec.worker.http.url: required, and missing"),
    Invalid(
        "post to a path", worker(python=DROP, http={"url": "/task"}), "spec.worker.http.url: must be a URL"
    ),
    Invalid("concurrency of 0", worker(concurrency=0), "spec.worker.concurrency: must be at least 1, is 0"),
    Invalid(
        "concurrency of 1001", worker(concurrency=1001), "spec.worker.concurrency: must be at most 1,000"
    ),
    Invalid(
        "no time-out", worker(taskTimeoutSeconds=0), "spec.worker.taskTimeoutSeconds: must be at least 1"
    ),
    Invalid("two days", worker(taskTimeoutSeconds=172_800), "must be at most 86,400, is 172800"),
    Invalid("bad secret", worker(natsSecretName="_"), "spec.worker.natsSecretName: may hold"),
    Invalid(
        "image of worker", pod({"name": "worker", "image": "a"}), "gets its image from spec.worker.image"
    ),
    Invalid(
        "command of worker",
        pod({"name": "worker", "command": ["a"]}),
        "containers[0].command: the container worker",
    ),
    Invalid(
        "args of worker",
        pod({"name": "x"}, {"name": "worker", "args": []}),
        "containers[1].args: the container",
    ),
    Invalid(
        "our environment",
        pod({"name": "worker", "env": [{"name": "JOBRUN_UID"}]}),
        "must not start with JOBRUN_",
    ),
    Invalid(
        "nameless container", pod({"image": "a"}), "spec.worker.template.spec.containers[0].name: required"
    ),
    Invalid(
        "containers as object", pod({"name": "a"}, containers={}), "template.spec.containers: must be a list"
    ),
    Invalid("pods that end", pod(restartPolicy="Never"), "restartPolicy: must be Always or left out"),
    Invalid(
        "template as text", worker(template="pod.yaml"), "spec.worker.template: must be an object with fields"
    ),
    # scaling, retry, failures
    Invalid(
        "min above max", manifest(scaling={"minReplicas": 3, "maxReplicas": 2}), "must not exceed maxReplicas"
    ),
    Invalid(
        "min above default",
        manifest(scaling={"minReplicas": 11}),
        "spec.scaling.minReplicas: minReplicas must",
    ),
    Invalid(
        "negative min", manifest(scaling={"minReplicas": -1}), "spec.scaling.minReplicas: must be at least 0"
    ),
    Invalid("too many workers", manifest(scaling={"maxReplicas": 1001}), "must be at most 1,000, is 1001"),
    Invalid(
        "two measures",
        manifest(scaling={"drainSeconds": 1, "tasksPerReplica": 1}),
        "drainSeconds or tasksPerReplica",
    ),
    Invalid(
        "no share",
        manifest(scaling={"tasksPerReplica": 0}),
        "spec.scaling.tasksPerReplica: must be at least 1",
    ),
    Invalid(
        "rush of none",
        manifest(scaling={"scaleUp": {"periodSeconds": 1}}),
        "spec.scaling.scaleUp.replicas: required",
    ),
    Invalid(
        "negative window",
        manifest(scaling={"scaleDown": {"stabilizationWindowSeconds": -1}}),
        "must be at least 0",
    ),
    Invalid(
        "batches for a command",
        with_field(manifest(worker={"image": "a", "exec": {"command": ["a"]}}), "spec.worker.batchSize", 5),
        "spec.worker.batchSize: is for python handlers only",
    ),
    Invalid(
        "too many at a time",
        manifest(worker={"image": "a", "python": "a:b", "concurrency": 100, "batchSize": 200}),
        "spec.worker: processes times concurrency (16 unless set) times batchSize must not exceed 16,000",
    ),
    Invalid(
        "too many at a time in all processes",
        manifest(worker={"image": "a", "python": "a:b", "concurrency": 1000, "processes": 17}),
        "spec.worker: processes times concurrency (16 unless set) times batchSize must not exceed 16,000",
    ),
    Invalid(
        "no process",
        manifest(worker={"image": "a", "python": "a:b", "processes": 0}),
        "spec.worker.processes: must be at least 1",
    ),
    Invalid(
        "too many processes",
        manifest(worker={"image": "a", "python": "a:b", "processes": 65}),
        "spec.worker.processes: must be at most 64",
    ),
    Invalid(
        "breaker as text",
        manifest(circuitBreaker={"enabled": "no"}),
        "spec.circuitBreaker.enabled: must be true or false, is the text",
    ),
    Invalid(
        "more than all",
        manifest(circuitBreaker={"failurePercent": 101}),
        "spec.circuitBreaker.failurePercent: must be at most 100",
    ),
    Invalid(
        "misspelt threshold",
        manifest(circuitBreaker={"consecutiveFailure": 3}),
        "unknown field; did you mean consecutiveFailures?",
    ),
    Invalid(
        "no attempt", manifest(retry={"maxAttempts": 0}), "spec.retry.maxAttempts: must be at least 1, is 0"
    ),
    Invalid(
        "101 attempts", manifest(retry={"maxAttempts": 101}), "spec.retry.maxAttempts: must be at most 100"
    ),
    Invalid(
        "delay above most",
        manifest(retry={"initialDelaySeconds": 301}),
        "must not exceed maxDelaySeconds (300 unless set)",
    ),
    Invalid("empty policy", manifest(failurePolicy={}), "set either maxFailedTasks or maxFailedPercent"),
    Invalid(
        "two limits",
        manifest(failurePolicy={"maxFailedTasks": 1, "maxFailedPercent": 1}),
        "set either maxFailed",
    ),
    Invalid("101 percent", manifest(failurePolicy={"maxFailedPercent": 101}), "must be at most 100, is 101"),
    Invalid(
        "percent sign",
        manifest(failurePolicy={"maxFailedPercent": "5%"}),
        'must be a whole number, is the text "5%"',
    ),
    Invalid(
        "retain as text",
        manifest(results={"retain": "yes"}),
        "spec.results.retain: must be true or false, is the text",
    ),
    Invalid("suspend as number", manifest(suspend=1), "spec.suspend: must be true or false, is 1"),
    Invalid(
        "no deadline", manifest(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds: must be at least 1"
    ),
    Invalid("negative clean-up", manifest(cleanupSecondsAfterFinished=-1), "must be at least 0, is -1"),
    Invalid("endless ttl", manifest(ttlSecondsAfterFinished=10**12), "must be at most 31,536,000"),
    Invalid(
        "misspelt field", manifest(maxWaitng=5), "spec.maxWaitng: unknown field; did you mean maxWaiting?"
    ),
    Invalid(
        "scale is a list", manifest(scaling=[1]), "spec.scaling: must be an object with fields, is a list"
    ),
    # not built yet, so unknown
    *(
        Invalid(
            f"later: {name}", with_field(manifest(), f"spec.{name}", value), f"spec.{name}: unknown field"
        )
        for name, value in {
            "dependsOn": ["other"],
            "queue": "default",
            "priority": 1,
            "startAt": "2030-01-01T00:00:00Z",
            "idempotencyKey": "id",
        }.items()
    ),
)

_WRONG = {"integer": "5", "string": 5, "boolean": "true", "array": {}, "object": []}


def of_every_field() -> Iterator[Invalid]:
    """A wrong type in each field of spec, and each bound overstepped by one."""
    yield from _of_fields("spec", object_schema()["properties"]["spec"])


def _of_fields(path: str, schema: Schema) -> Iterator[Invalid]:
    for name, field in schema["properties"].items():
        inner = f"{path}.{name}"
        shown = inner.replace("[]", "[0]")
        yield Invalid(f"{inner} of a wrong type", _set(inner, _WRONG[field["type"]]), f"{shown}: must be ")
        if "minimum" in field:
            yield Invalid(
                f"{inner} too small", _set(inner, field["minimum"] - 1), f"{shown}: must be at least "
            )
            yield Invalid(
                f"{inner} too large", _set(inner, field["maximum"] + 1), f"{shown}: must be at most "
            )
        if "maxLength" in field:
            yield Invalid(
                f"{inner} too long",
                _set(inner, "a" * (field["maxLength"] + 1)),
                f"{shown}: must have at most ",
            )
        if field["type"] == "array":
            entries = [{} if field["items"]["type"] == "object" else ""] * (field["maxItems"] + 1)
            says = (
                f"{shown}: must have at most "
                if field["items"].get("required") is None
                else f"{shown}[0].name: "
            )
            yield Invalid(f"{inner} too many", _set(inner, entries), says)
        entry = field.get("items", field)
        if "properties" in entry:
            yield Invalid(f"{inner} with an unknown field", *_with_unknown(inner, shown, field))
            yield from _of_fields(f"{inner}[]" if "items" in field else inner, entry)


def _with_unknown(path: str, shown: str, field: Schema) -> tuple[Manifest, str]:
    entry = field.get("items", field)
    if entry.get("x-kubernetes-preserve-unknown-fields"):
        return _set(path, 5), f"{shown}: must be "
    return _set(f"{path}.unheardOf", 1), f"{shown}.unheardOf: unknown field; "


def _set(path: str, value: Any) -> Manifest:
    return with_field(manifest(), path, value)
