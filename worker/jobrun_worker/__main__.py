"""``python -m jobrun_worker [--check]``: a worker, told what to do by its environment."""

from __future__ import annotations

import os
import sys

from jobrun_worker.main import main

if __name__ == "__main__":
    sys.exit(main(os.environ, check="--check" in sys.argv[1:]))
