"""How properties are tried: no example has to be fast, and a hosted run tries the same ones each time.

A failure there can then be repeated by its name, and a change is not blamed for what a new example has found.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("hosted", deadline=None, derandomize=True)
settings.load_profile("hosted" if os.environ.get("CI") else "here")
