"""``python -m jobrun_worker``: a worker, told what to do by its environment.

With ``--check`` it only says whether a worker could start with these settings and this handler.
"""

from __future__ import annotations

import os
import sys

from jobrun_worker.main import check, main

if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.stderr.write("usage: python -m jobrun_worker [--check]\n")
        sys.exit(2)
    sys.exit(check(os.environ) if sys.argv[1:] else main(os.environ))
