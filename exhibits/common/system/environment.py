"""What packages take from the environment: pinned where numbers depend on it, refused in one line where it cannot be.

Scripts call `prepare` before any package is imported, all who compute call `pin` before their first circuit.
"""

import atexit
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from exhibits.common.system.cgroups import groups_of
from exhibits.common.system.errors import UserError
from exhibits.common.system.places import user_folder

# What a user may say to JAX: where to compute, what to keep and what to log. No number depends on it.
JAX_KEPT = re.compile(
    "JAX_(PLATFORM|CUDA_|ROCM_|ONEAPI_|COMPILATION_CACHE|PERSISTENT_CACHE|LOG|TRACEBACK|DEBUG_LOG|DUMP_|EXPLAIN)"
)
JAX_PINNED = {
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_legacy_prng_key": "allow",
    "jax_enable_custom_prng": False,
    "jax_debug_key_reuse": False,
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_default_matmul_precision": None,
    "jax_accurate_erf_inv": False,
    "jax_use_hlo_logistic_lowering": None,
    "jax_disable_most_optimizations": False,
    "jax_disable_jit": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_error_checking_behavior_nan": "ignore",
    "jax_error_checking_behavior_divide": "ignore",
    "jax_error_checking_behavior_oob": "ignore",
    "jax_enable_checks": False,
    "jax_check_tracer_leaks": False,
    "jax_check_static_indices": False,
    "jax_thread_guard": False,
    "jax_array_garbage_collection_guard": None,
    "jax_no_execution": False,
    "jax_no_tracing": False,
    "jax_transfer_guard": None,
    "jax_transfer_guard_host_to_device": None,
    "jax_transfer_guard_device_to_device": None,
    "jax_transfer_guard_device_to_host": None,
}
NUMBA_KEPT = re.compile("NUMBA_(NUM_THREADS|CACHE_DIR)")
NUMBA_PINNED = {  # set explicitly: .numba_config.yaml in the working folder could override the defaults
    "NUMBA_DISABLE_JIT": "0",
    "NUMBA_OPT": "3",
    "NUMBA_BOUNDSCHECK": "0",
    "NUMBA_THREADING_LAYER": "default",
}
MAX_THREADS = 1024
MAX_FLAGS_BYTES = 1 << 16
INEXACT = re.compile("fast_math|fast_min_max|excess_precision")  # of XLA's flags: numbers of its own for the same seed
HARMLESS = re.compile(r"--xla_(dump_\w+|force_host_platform_device_count)(=.*)?")  # of XLA's flags: no number changes

_ignored: dict[str, str] = {}  # variables of the environment that were taken out of it


def prepare() -> None:
    """Takes out of the environment what must not reach a package; for a process that is the museum's alone."""
    _prepare_jax()
    prepare_numba()
    _take_out("TQDM_", re.compile("TQDM_DISABLE"))
    _take_out("LOKY_")
    if "matplotlib" not in sys.modules:
        _pin({"MPLBACKEND": "Agg"})
        for variable, folder in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache")):
            _cache("MPLCONFIGDIR", user_folder(variable, folder) / "matplotlib")
    _share_processors()


def pin() -> None:
    """Imports JAX with the settings that the museum's numbers are made with.

    Raises:
        UserError: if the environment asks for a platform that is not there, or for arithmetic that is not exact.
    """
    if "jax" not in sys.modules:
        _prepare_jax()
    _refuse_bad_values()
    try:
        import jax

        for name, value in JAX_PINNED.items():
            if name in jax.config.values:  # there are fewer in earlier versions
                jax.config.update(name, value)
        jax.default_backend()
    except ImportError:
        raise
    except Exception as error:
        asked = {name: value for name, value in os.environ.items() if name.startswith("JAX_") and value}
        if not asked:
            raise
        listed = ", ".join(f"{name}={value}" for name, value in asked.items())
        reason = " ".join(str(error).split())[:200] or "nothing of that name is there"
        raise UserError(
            f"{listed}: JAX does not start with it ({reason}); unset it, or set JAX_PLATFORMS=cpu"
        ) from None


def prepare_numba() -> None:
    """Takes out of the environment what must not reach Numba, if it is not there yet."""
    if "numba" in sys.modules:
        return
    _take_out("NUMBA_", NUMBA_KEPT)
    _pin(NUMBA_PINNED)
    here = Path(__file__).parents[1] / "cells" / "events" / "__pycache__"
    _cache("NUMBA_CACHE_DIR", here, user_folder("XDG_CACHE_HOME", ".cache") / "numba")


def settings() -> dict[str, str]:
    """What is left in the environment that numbers may depend on."""
    return {"XLA_FLAGS": flags} if (flags := " ".join(_flags_that_count(_xla_flags()))) else {}


def same_settings(there: dict[str, str], here: dict[str, str]) -> bool:
    """Whether numbers are the same with either; runs used to record flags of XLA that change none."""
    return all(
        _flags_that_count(there.get(name, "").split()) == _flags_that_count(here.get(name, "").split())
        for name in there | here
    )


def _flags_that_count(flags: list[str]) -> list[str]:
    return [flag for flag in flags if not HARMLESS.fullmatch(flag)]


def _xla_flags() -> list[str]:
    """XLA's flags, from the environment or from the file that it names.

    Raises:
        UserError: if it names a file that cannot be read.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if flags and not flags.lstrip().startswith("--"):
        from exhibits.common.system.files import open_regular  # not at the top: it imports NumPy

        try:
            with open_regular(Path(flags)) as file:
                flags = file.read(MAX_FLAGS_BYTES).decode(errors="replace")
        except OSError as error:
            raise UserError(f"XLA_FLAGS={flags}: {error.strerror}; expected flags or a file with flags") from None
    return flags.split()


def unusual() -> dict[str, str]:
    """Variables of the environment that have to do with numbers or speed, and what became of them."""
    kept = ("XLA_FLAGS", "NUMBA_NUM_THREADS", "NPROC", "OMP_NUM_THREADS", "LD_PRELOAD", "PYTHONPATH")
    found = {name: value for name, value in os.environ.items() if name in kept or name.startswith("JAX_")}
    return found | {name: f"{value} (ignored)" for name, value in _ignored.items()}


def _prepare_jax() -> None:
    if "jax" not in sys.modules:
        _take_out("JAX_", JAX_KEPT)


def _take_out(prefix: str, kept: re.Pattern[str] | None = None) -> None:
    for name in [name for name in os.environ if name.startswith(prefix) and not (kept and kept.match(name))]:
        value = os.environ.pop(name)
        if NUMBA_PINNED.get(name) != value:
            _ignored[name] = value


def _pin(values: dict[str, str]) -> None:
    for name, value in values.items():
        if os.environ.get(name, value) != value:
            _ignored[name] = os.environ[name]
        os.environ[name] = value


def _refuse_bad_values() -> None:
    flags = _xla_flags()
    if found := next((flag for flag in flags if INEXACT.search(flag)), None):
        raise UserError(f"XLA_FLAGS has {found}: the same seed would give other numbers; unset it")
    threads = os.environ.get("NUMBA_NUM_THREADS")
    if threads is not None and not (threads.isdecimal() and 1 <= int(threads) <= MAX_THREADS):
        raise UserError(f"NUMBA_NUM_THREADS={threads}: expected a number from 1 to {MAX_THREADS}; unset it")
    if flags and "jax" not in sys.modules:  # XLA would abort the process at a flag that it does not know
        program = "import jax; jax.devices()"
        tried = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        if tried.returncode and "Traceback" not in tried.stderr:
            complaint = tried.stderr.strip().partition("\n")[0].rpartition("] ")[2][:200]
            raise UserError(f"XLA_FLAGS={os.environ['XLA_FLAGS']}: XLA does not start with it ({complaint}); unset it")


def _cache(variable: str, *usual: Path) -> None:
    """Leads a cache to a folder that lasts as long as the process where no usual one can be written to."""
    named = os.environ.get(variable)
    if any(map(_writable, [Path(named)] if named else usual)):
        return
    if named:
        _ignored[variable] = named
    os.environ[variable] = folder = tempfile.mkdtemp(prefix="snn-museum-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _writable(folder: Path) -> bool:
    """Whether a folder is there, or can be made, and can be written to; permissions alone do not tell."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def cpus(root: Path = Path("/")) -> int:
    """Processors that this process may use: those it may run on, or fewer where a container has a quota.

    Args:
        root: of the file system.
    """
    n = _processors()
    quota = _quota(root)
    return n if quota is None else max(1, min(n, math.ceil(quota)))


def _processors() -> int:
    """Processors that the operating system lets this process use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(root: Path) -> float | None:
    """Processors' worth of time that the process's control groups allow it; None if they do not limit it."""
    quotas = map(_quota_of, groups_of("cpu", root))
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_of(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return None if quota == "max" or int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _share_processors() -> None:
    """Packages count the machine's processors, not those that a container's quota leaves: they are told.

    Threads of OpenMP that wait for each other sleep. By default they spin, and where another program runs as well, such
    as a training beside an analysis, t-SNE then takes up to 30 times as long. The linear algebra of NumPy and SciPy
    spins too: in one thread it is as fast for matrices of our sizes, and its last bits depend on no number of threads.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    n = cpus()
    if n < _processors():
        for name in ("NUMBA_NUM_THREADS", "NPROC", "OMP_NUM_THREADS"):  # Numba, XLA, t-SNE
            os.environ.setdefault(name, str(n))
