"""Which threads Numba's parallel loops run on. Import before numba.

Numba can use TBB, OpenMP or its own work queue. TBB starts a loop in 2 us, and on a busy machine
the caller runs the pieces that no other thread has taken. GNU OpenMP waits by spinning: as soon as
another process wants a core, each loop can cost a time slice (8 ms instead of 0.1 ms was measured),
so if it must be used its spinning is turned off. The work queue costs 70-120 us a loop and aborts
when two threads enter it at once.
"""

import ctypes
import importlib.metadata
import os


def load_tbb():
    """Load the TBB library of the `tbb` package, where Numba does not look for it by itself."""
    try:
        files = importlib.metadata.files("tbb") or ()
    except importlib.metadata.PackageNotFoundError:
        return False
    for file in files:
        if file.name == "libtbb.so.12":
            try:
                ctypes.CDLL(os.fspath(file.locate()), mode=ctypes.RTLD_GLOBAL)
                return True
            except OSError:
                return False
    return False


if not load_tbb():
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
