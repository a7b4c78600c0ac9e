"""Environment variables, working folders and caches: no number depends on them, or one line says why not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import make_patterns

from exhibits.common.system import environment, places
from exhibits.common.system.errors import UserError
from exhibits.common.system.memory import available

REPOSITORY = Path(__file__).resolve().parents[1]
TRAIN = REPOSITORY / "exhibits" / "bfa_snn" / "train_bfasnn.py"
SMALL = ["--hid_dim", "20", "--T", "20", "--burn_in", "4", "--batch_size", "16", "--weight_std", "0.3", "--epochs", "1"]

PINNED = {  # each of them changes numbers, traces back or aborts where nothing is done about it: test_scripts.py tries
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_ENABLE_CUSTOM_PRNG": "1",
    "JAX_LEGACY_PRNG_KEY": "error",
    "JAX_DEBUG_KEY_REUSE": "1",
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_ACCURATE_ERF_INV": "1",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_DISABLE_JIT": "1",
    "JAX_DEBUG_NANS": "maybe",
    "JAX_DEBUG_INFS": "1",
    "JAX_CHECK_TRACER_LEAKS": "1",
    "JAX_TRANSFER_GUARD": "disallow",
    "JAX_NUM_CPU_DEVICES": "many",
    "JAX_NO_SUCH_FLAG": "1",
    "NUMBA_DISABLE_JIT": "1",
    "NUMBA_THREADING_LAYER": "foo",
    "NUMBA_THREADING_LAYER_PRIORITY": "foo",
    "NUMBA_OPT": "99",
    "NUMBA_BOUNDSCHECK": "1",
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "+foo",
    "NUMBA_ENABLE_AVX": "0",
    "NUMBA_NUM_THREADS": "1",
    "MPLCONFIGDIR": "/proc/none",
    "MPLBACKEND": "nonsense",
    "PYTHONHASHSEED": "5",
    "NPROC": "none",
    "TQDM_NCOLS": "none",
    "LOKY_MAX_CPU_COUNT": "none",
    "OMP_NUM_THREADS": "none",
    "COLUMNS": "none",
}


def run(*command, cwd, **variables):
    cached = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE")  # of the tests, by all that programs depend on
    clean = {
        name: value
        for name, value in os.environ.items()
        if name.split("_")[0] not in ("JAX", "XLA", "NUMBA") or name.startswith(cached)
    }
    values = clean | {"JAX_PLATFORMS": "cpu"} | variables
    return subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd, env=values, timeout=300)


def one_line(done):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def flags(folder, exp):
    names = {"dataX": "trainX", "dataY": "trainY", "devX": "validX", "devY": "validY"}
    return [*(f"--{flag}={folder / name}.npy" for flag, name in names.items()), *SMALL, f"--exp_dir={exp}"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for stem, n, seed in (("train", 80, 0), ("valid", 30, 1)):
        for part, array in zip("XY", make_patterns(n, seed=seed), strict=True):
            np.save(folder / f"{stem}{part}.npy", array)
    return folder


def test_settings_made_in_python_are_pinned_too():
    """As a notebook may have made them, or JAX from variables of the environment when it was imported."""
    others = {"jax_default_prng_impl": "rbg", "jax_enable_x64": True, "jax_numpy_dtype_promotion": "strict"}
    others |= {"jax_threefry_partitionable": False, "jax_default_matmul_precision": "bfloat16"}
    before = {name: jax.config.values[name] for name in others}
    try:
        for name, value in others.items():
            jax.config.update(name, value)
        environment.pin()
        for name in others:
            assert str(jax.config.values[name]) == str(before[name])
        assert before["jax_default_prng_impl"] == "threefry2x32"
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true", "fast_math"),
        ("XLA_FLAGS", "--xla_dump_to=/tmp --xla_cpu_fast_math_honor_nans=false", "honor_nans"),
        ("XLA_FLAGS", "  --xla_cpu_enable_fast_min_max", "fast_min_max"),
        ("XLA_FLAGS", "--xla_allow_excess_precision=true", "excess_precision"),
        ("XLA_FLAGS", "flags.txt", "fast_math"),
        ("XLA_FLAGS", "none.txt", "No such file"),
        ("XLA_FLAGS", "/dev/zero", "not a regular file"),
        ("NUMBA_NUM_THREADS", "0", "1 to 1024"),
        ("NUMBA_NUM_THREADS", "many", "1 to 1024"),
        ("NUMBA_NUM_THREADS", "-1", "1 to 1024"),
        ("NUMBA_NUM_THREADS", "99999999", "1 to 1024"),
        ("NUMBA_NUM_THREADS", "", "1 to 1024"),
    ],
)
def test_what_cannot_be_pinned_is_refused(name, value, word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("flags.txt").write_text("--xla_cpu_enable_fast_math")
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as refused:
        environment.pin()
    assert name in str(refused.value) and word in str(refused.value)


def test_settings_that_are_taken_are_recorded_if_numbers_may_depend_on_them(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert environment.settings() == {}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_thunk_runtime=true  --xla_dump_to=/tmp")
    environment.pin()
    assert environment.settings() == {"XLA_FLAGS": "--xla_cpu_use_thunk_runtime=true"}
    (tmp_path / "flags").write_text("--xla_force_host_platform_device_count=2\n--xla_cpu_use_thunk_runtime=true\n")
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "flags"))
    assert environment.settings() == {"XLA_FLAGS": "--xla_cpu_use_thunk_runtime=true"}


def test_flags_that_change_no_number_are_not_compared():
    old = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    assert environment.same_settings(old, {}) and environment.same_settings({}, old)
    for other in ({"XLA_FLAGS": "--xla_cpu_use_thunk_runtime=true"}, {"XLA_FLAGS": "--xla_dump_to_=x --x"}):
        assert not environment.same_settings(old, other) and not environment.same_settings(other, {})


@pytest.mark.parametrize(
    "variables",
    [{"JAX_PLATFORMS": "cuda"}, {"JAX_PLATFORMS": "", "JAX_PLATFORM_NAME": "none"}, {"XLA_FLAGS": "--none"}],
)
def test_what_does_not_start_is_named(variables, data, tmp_path):
    said = one_line(run(sys.executable, TRAIN, *flags(data, tmp_path / "exp"), cwd=tmp_path, **variables))
    assert all(f"{name}={value}" in said for name, value in variables.items() if value), said
    assert not (tmp_path / "exp").exists()


def prepared(cwd, **variables):
    """The environment and what is unusual about it, as `prepare` leaves it to packages."""
    program = (
        "import json, os, sys; sys.path.insert(0, sys.argv[1]); from exhibits.common.system import environment as e; "
        "e.prepare(); print(json.dumps([dict(os.environ), e.unusual()]))"
    )
    done = run(sys.executable, "-c", program, REPOSITORY, cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_doctor_can_tell_what_was_ignored(tmp_path):
    left, unusual = prepared(tmp_path, JAX_ENABLE_X64="1", NUMBA_DISABLE_JIT="1", XLA_FLAGS="--x", JAX_LOG_COMPILES="1")
    assert "JAX_ENABLE_X64" not in left and left["NUMBA_DISABLE_JIT"] == "0" and left["JAX_LOG_COMPILES"] == "1"
    assert unusual["JAX_ENABLE_X64"] == unusual["NUMBA_DISABLE_JIT"] == "1 (ignored)"
    assert unusual["XLA_FLAGS"] == "--x" and unusual["JAX_PLATFORMS"] == "cpu"


def test_caches_go_elsewhere_where_they_cannot_be_written(tmp_path):
    for named in ({}, {"MPLCONFIGDIR": "/proc/none", "NUMBA_CACHE_DIR": "/proc/none"}):
        left, _ = prepared(tmp_path, HOME="/proc/none", **named)
        for name in ("MPLCONFIGDIR", *(["NUMBA_CACHE_DIR"] if named else [])):
            assert left[name] not in ("/proc/none", "") and not Path(left[name]).exists()  # it was the process's own
    left, _ = prepared(tmp_path, HOME="~")  # as Python has it for a user without a home
    assert not Path(left["MPLCONFIGDIR"]).exists() and not (tmp_path / "~").exists()
    left, _ = prepared(tmp_path, HOME=str(tmp_path))
    assert "MPLCONFIGDIR" not in left
    left, _ = prepared(tmp_path, MPLCONFIGDIR=str(tmp_path / "mine"), NUMBA_CACHE_DIR=str(tmp_path / "too"))
    assert (left["MPLCONFIGDIR"], left["NUMBA_CACHE_DIR"]) == (str(tmp_path / "mine"), str(tmp_path / "too"))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),  # a container that sees its group as the root
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "200000 100000\n"}, 2),  # the tightest counts
        ("0::/a/b\n", {}, None),
        (
            "3:memory:/\n2:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "50000\n", "cpu/a/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ("2:cpu,cpuacct:/docker/1\n", {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ("2:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        (None, {}, None),
    ],
)
def test_processors_follow_the_quota(groups, files, quota, tmp_path):
    if groups is not None:
        write(tmp_path / "proc" / "self" / "cgroup", groups)
    for name, text in files.items():
        write(tmp_path / "sys" / "fs" / "cgroup" / name, text)
    available = len(os.sched_getaffinity(0))
    assert environment._quota(tmp_path) == quota
    assert environment.cpus(tmp_path) == (available if quota is None else min(available, -int(-quota // 1)))


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/\n", {"memory.max": "3000000\n"}, 3_000_000),
        ("0::/job/step\n", {"job/memory.max": "2000000\n", "job/step/memory.max": "max\n"}, 2_000_000),
        ("4:memory:/job\n", {"memory/job/memory.limit_in_bytes": "1000000\n"}, 1_000_000),
        ("0::/\n", {"other/memory.max": "1000000\n"}, 4_096_000),  # of another group
        (
            "0::/\n",
            {"memory.max": "3000000", "memory.current": "2500000", "memory.stat": "anon 9\ninactive_file 500000\n"},
            1_000_000,
        ),
        (
            "0::/\n",
            {"memory.max": "3000000", "memory.current": "2900000", "memory.stat": "file 9\nactive_file 2000000\n"},
            2_100_000,
        ),
        ("0::/\n", {"memory.max": "3000000", "memory.current": "4000000", "memory.stat": "anon 9\n"}, 0),
        (
            "4:memory:/\n",
            {
                "memory/memory.limit_in_bytes": "3000000",
                "memory/memory.usage_in_bytes": "1500000",
                "memory/memory.stat": "inactive_file 7\ntotal_inactive_file 600000\ntotal_active_file 400000\n",
            },
            2_500_000,
        ),
        (None, {}, 4_096_000),
    ],
)
def test_memory_follows_the_limit_of_a_container_or_job(groups, files, limit, tmp_path):
    write(tmp_path / "proc" / "meminfo", "MemTotal: 9000 kB\nMemAvailable: 4000 kB\n")
    if groups is not None:
        write(tmp_path / "proc" / "self" / "cgroup", groups)
    for name, text in files.items():
        write(tmp_path / "sys" / "fs" / "cgroup" / name, text)
    assert available(tmp_path) == limit


def test_packages_are_told_how_many_processors_there_are(monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "NPROC", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # so that it is put back, also if it was not there
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(environment, "_quota", lambda _: None)
    environment._share_processors()
    assert "NPROC" not in os.environ and os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setattr(environment, "_quota", lambda _: 2.5)
    environment._share_processors()
    assert (os.environ["NUMBA_NUM_THREADS"], os.environ["NPROC"], os.environ["OMP_NUM_THREADS"]) == ("3", "3", "7")


def test_setup_refuses_what_it_does_not_know_and_explains_itself(tmp_path):
    setup = places.REPOSITORY / "setup.sh"
    assert "--devv: expected --dev, --docs, --run SCRIPT or nothing" in one_line(run(setup, "--devv", cwd=tmp_path))
    told = run(setup, "--help", cwd=tmp_path)
    assert told.returncode == 0 and "./setup.sh --dev " in told.stdout and not told.stderr
