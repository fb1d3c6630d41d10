"""One JobRun as a person hands it in: looked up, tried out and applied, with refusals in the words of the manifest.

Server-side apply by a field manager of its own, without force: what somebody else has set since (a rate by ``kubectl
edit``, a field that lives in Git) is a conflict that is told, and never undone silently.
"""

from __future__ import annotations

from typing import Any

from jobrun_operator.api import API_VERSION, KIND, PLURAL, JobRun
from jobrun_operator.errors import Conflict, EnvironmentFault, Gone, InputError, Refused
from jobrun_operator.kubernetes.api import APPLY, KubeApi, Object, collection

MANAGER = "jobrun-submit"


class SubmittedRun:
    """The run ``namespace/name`` of a cluster, there or not."""

    def __init__(self, api: KubeApi, namespace: str, name: str) -> None:
        self._api = api
        self.namespace = namespace
        self.name = name
        self._path = f"{collection(API_VERSION, PLURAL, namespace)}/{name}"

    async def read(self) -> Object | None:
        """As it is stored; None where it is not there. Raises ApiUnavailable, NotAllowed."""
        try:
            return await self._api.get(self._path)
        except Gone:
            return None

    async def apply(self, run: JobRun, *, where: str, dry_run: bool = False) -> Object:
        """As it is stored then. ``where`` is what messages call the manifest. With ``dry_run`` it is only tried.

        Raises InputError for what the API server refuses, EnvironmentFault, ApiUnavailable, NotAllowed.
        """
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"} | (
            {"dryRun": "All"} if dry_run else {}
        )
        try:
            return await self._api.request(
                "PATCH", self._path, query=query, body=self._manifest(run), content_type=APPLY
            )
        except Gone as error:
            if f'namespaces "{self.namespace}"' in str(error):
                raise InputError(
                    "--namespace", f"there is no namespace {self.namespace} in the cluster"
                ) from error
            raise EnvironmentFault(
                "the cluster does not know JobRuns: install the chart there (helm install jobrun helm/jobrun)"
            ) from error
        except Conflict as error:
            raise InputError(
                where,
                f"{error}. Others have set these fields since: leave them out here, or set the same values",
            ) from error
        except Refused as error:
            raise InputError(where, str(error)) from error

    def _manifest(self, run: JobRun) -> dict[str, Any]:
        """What a person decides; what the API server fills in (uid, generation, ...) can't be applied."""
        wire = run.to_wire()
        given = {key: wire["metadata"][key] for key in ("labels", "annotations") if wire["metadata"].get(key)}
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": self.name, "namespace": self.namespace, **given},
            "spec": wire["spec"],
        }
