"""Which threads Numba's parallel loops run on; import it before Numba.

Numba can use TBB, OpenMP or its own work queue. TBB starts a loop in microseconds, and on a busy machine the caller
runs the pieces that no other thread has taken. GNU OpenMP waits by spinning, which can cost a time slice per loop as
soon as another process wants a core, so its spinning is turned off. The work queue aborts the process when two threads
of XLA enter it at once: where nothing else is installed, loops run on one thread. They also do so where there is
only one processor: with TBB, a program whose first loop ran in a thread that has ended would hang there at exit.
"""

import ctypes
import importlib.metadata
import importlib.util
import os

from exhibits.common.system.environment import cpus, prepare_numba


def _load_tbb() -> bool:
    """Loads the library of the `tbb` package, which Numba does not look for where pip puts it."""
    try:
        files = importlib.metadata.files("tbb") or ()
    except importlib.metadata.PackageNotFoundError:
        return False
    for file in files:
        if file.name == "libtbb.so.12":
            try:
                ctypes.CDLL(os.fspath(file.locate()), mode=ctypes.RTLD_GLOBAL)
            except OSError:
                return False
            return True
    return False


def _importable(layer: str) -> bool:
    try:
        importlib.import_module(f"numba.np.ufunc.{layer}")
    except ImportError:
        return False
    return True


prepare_numba()
if not _load_tbb():
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
PARALLEL = cpus() > 1 and (_importable("tbbpool") or _importable("omppool"))
