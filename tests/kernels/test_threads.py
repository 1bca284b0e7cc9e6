"""Thread settings reach the libraries: looked at from a fresh interpreter."""

import json
import os
import subprocess
import sys

import pytest

SHOW = """
import json, os
import dbpsim.kernels.threads as threads
threads.set_environment()
import numpy, dbpsim.kernels.convolution
from threadpoolctl import threadpool_info
print(json.dumps({
    "wait": os.environ["OMP_WAIT_POLICY"], "timeout": os.environ["OPENBLAS_THREAD_TIMEOUT"],
    "threads": {p["filepath"]: p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}}))
"""


def show(**environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OPENBLAS_THREAD_TIMEOUT")}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=kept | environment, capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shown():
    return show()


def test_idle_threads_are_told_to_sleep(shown):
    assert (shown["wait"], shown["timeout"]) == ("PASSIVE", "4")


def test_what_the_user_has_set_is_kept():
    assert show(OMP_WAIT_POLICY="ACTIVE")["wait"] == "ACTIVE"


def test_scipy_computes_in_one_thread_and_numpy_in_all(shown):
    libraries = shown["threads"]
    scipy = [n for path, n in libraries.items() if "scipy.libs" in path]
    numpy = [n for path, n in libraries.items() if "numpy.libs" in path]
    if not scipy or not numpy:
        pytest.skip("NumPy and SciPy share a BLAS here: there is nothing to hold")
    assert scipy == [1]
    assert numpy[0] > 1 or os.cpu_count() == 1
