"""Settings of the test run: where compiled kernels are kept, and how hypothesis draws."""

import os

import tasks

os.environ.setdefault("NUMBA_CACHE_DIR", str(tasks.kernel_cache()))

from hypothesis import settings

# run by aihwkit's own interpreter, to write what it does into the files that tests read
collect_ignore_glob = ["tests/reference/aihwkit_*.py"]

settings.register_profile("dbpsim", deadline=None, max_examples=30, derandomize="CI" in os.environ)
settings.load_profile("dbpsim")
