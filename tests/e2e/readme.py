"""The commands of README.md for a cluster, as a person would copy them: so that they can be run as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

TOOLS = ("make", "docker", "kind", "helm", "kubectl", "jobrun")
ENDLESS = re.compile(r"(\s--watch\b|\s-w\b|port-forward)")
"""What goes on until somebody stops it."""


def cluster_commands(text: str) -> list[str]:
    """All commands of the sections whose heading speaks of Kubernetes, those left out that don't end by themselves.

    Commands are in blocks that are indented by four spaces, or fenced as sh, bash or shell; a backslash continues one.
    """
    commands = []
    for section in re.split(r"(?m)^(?=#{1,3} )", text):
        if "kubernetes" in section.partition("\n")[0].lower():
            commands += [
                one for one in _commands(section) if one.startswith(TOOLS) and not ENDLESS.search(one)
            ]
    return commands


def _commands(section: str) -> Iterator[str]:
    fenced = False
    pending = ""
    for line in section.splitlines():
        if line.startswith("```"):
            fenced = not fenced and line[3:].strip() in ("sh", "bash", "shell")
            continue
        if not fenced and not line.startswith("    "):
            continue
        pending += line.strip() if not pending else " " + line.strip()
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip()
            continue
        yield re.sub(r"\s+#\s.*$", "", pending.removeprefix("$ "))
        pending = ""
