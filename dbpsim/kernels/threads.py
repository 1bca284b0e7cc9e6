"""How many threads compute, and how they wait: the BLAS and Numba share the cores.

Two libraries of threads run in turns here: NumPy's BLAS for the large products, Numba's workers for everything else.
Each by default lets its idle threads spin for a while in case work comes, on the cores the other
has just begun to use.  `set_environment` makes them sleep at once; `limit_scipy_blas` keeps the BLAS that Numba's
``np.dot`` calls (SciPy's copy) from starting threads of its own inside a worker.
Measured on VGG9, 2 cores: a step of 467 ms becomes 370 ms.
"""

from __future__ import annotations

import os

_ENVIRONMENT = {
    "OPENBLAS_THREAD_TIMEOUT": "4",  # an idle BLAS thread spins for 2^4 clock ticks, not 2^26
    "OMP_WAIT_POLICY": "PASSIVE",  # an idle OpenMP worker sleeps
}


def set_environment() -> None:
    """Set the variables that make idle threads sleep, where the user has not set them.

    The libraries read them once, when they are loaded.  So this runs before NumPy is imported (``dbpsim/__init__.py``
    calls it first).  Where the program has imported NumPy before dbpsim, NumPy's BLAS has started and keeps its
    spinning threads: results are the same, steps take up to a quarter longer.  Then import dbpsim first,
    or set ``OPENBLAS_THREAD_TIMEOUT=4`` in the shell.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def limit_scipy_blas() -> None:
    """Hold SciPy's BLAS, the one inside Numba's kernels, to one thread; NumPy's keeps all cores.

    Where NumPy and SciPy share one library (conda, Debian) there is nothing to hold: limiting it would take
    NumPy's threads too, and an OpenBLAS built on OpenMP runs single-threaded inside a parallel region by itself.
    """
    import scipy.linalg.cython_blas  # noqa: F401  loads the library that is to be limited
    from threadpoolctl import ThreadpoolController

    for library in ThreadpoolController().lib_controllers:
        if library.user_api == "blas" and "scipy.libs" in library.filepath.replace(os.sep, "/"):
            library.set_num_threads(1)
