"""``python -m jobrun_operator.api.render [--check] [--docs FILE] [DIR]``: writes the CRD and its reference.

With ``--check`` nothing is written, and what differs from the models ends the command with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from jobrun_operator.api.jobrun import GROUP, PLURAL
from jobrun_operator.api.reference import reference
from jobrun_operator.api.schema import crd

CRD_FILE = f"{GROUP}_{PLURAL}.yaml"
_HEADER = (
    "# Made by `make crds` from the models in operator/jobrun_operator/api: change those, not this file.\n"
)


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, as yamllint and most people like them; no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def crd_yaml() -> str:
    """The CRD as the text of its file."""
    body = yaml.dump(crd(), Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return f"{_HEADER}---\n{body}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobrun_operator.api.render", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, help=f"where {CRD_FILE} goes")
    parser.add_argument("--docs", type=Path, help="where the reference of the API goes, such as docs/api.md")
    parser.add_argument("--check", action="store_true", help="write nothing, report what is out of date")
    options = parser.parse_args(arguments)
    if options.directory is None and options.docs is None:
        parser.error("say where to write: a directory for the CRD, or --docs FILE")

    files: dict[Path, str] = {}
    if options.directory is not None:
        files[options.directory / CRD_FILE] = crd_yaml()
    if options.docs is not None:
        files[options.docs] = reference()
    out_of_date = [path for path, text in files.items() if not _is_current(path, text)]
    for path in out_of_date:
        if options.check:
            sys.stderr.write(f"{path} is out of date: run `make crds`\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if options.check and out_of_date else 0


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
