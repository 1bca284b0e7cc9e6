"""How every kernel is compiled: the project's floating-point and threading policy, in one place.

Kernels are strict IEEE arithmetic (``fastmath`` off): the central claim of the project, that a unit
Euler step reproduces backpropagation bit for bit, is a statement about rounding, and reassociation
would break it.  ``error_model="numpy"`` lets a division by zero give inf or nan, which the solver
detects and reports with the stage's name, instead of an exception from inside a thread.
``nogil=True`` lets a worker answer its scheduler while it computes.

No kernel asks for relaxed arithmetic.  One whose numbers are compared to a tolerance, never bit for bit, may: under a
name of its own here, with the gain it brings written beside it.
"""

from types import FunctionType
from typing import Any

from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")
parallel_kernel = njit(cache=True, nogil=True, error_model="numpy", parallel=True)


def serial_twin(parallel: Any) -> Any:
    """Return the same loops compiled for one thread, for arrays too small to wake others.

    It goes by a name of its own: Numba's cache files a kernel by its name and its line, not by whether it is parallel,
    and would hand out whichever of the two was compiled first for both.
    """
    loops = getattr(parallel, "py_func", parallel)  # plain Python where NUMBA_DISABLE_JIT is set
    twin = FunctionType(loops.__code__, loops.__globals__, loops.__name__, loops.__defaults__, loops.__closure__)
    twin.__qualname__ = f"{loops.__qualname__}_serial"
    twin.__module__ = loops.__module__
    return kernel(twin)
