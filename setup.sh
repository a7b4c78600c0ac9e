#!/bin/sh
# Prints the path of a Python that has the requirements: the active environment's if it has them, else that of .venv,
# which the first call makes. Everything else it says goes to standard error.
#
#   ./setup.sh                        what the exhibits need
#   ./setup.sh --dev                  and what the tests need
#   ./setup.sh --run SCRIPT [ARG...]  turns into that Python, running a script
#
# PYTHON names the interpreter to start from, VENV the folder of the environment.
set -eu
root=$(dirname -- "$(readlink -f -- "$0")")
venv=${VENV:-.venv}
case $venv in /*) ;; *) venv=$root/$venv ;; esac
modules="ngclearn ngcsimlib jax numpy matplotlib sklearn scipy tyro tqdm msgspec pooch"
extra=""
if [ "${1:-}" = --dev ]; then
  extra="[dev]"
  modules="$modules pytest xdist distributed hypothesis ruff"
fi

has_packages() {
  # shellcheck disable=SC2086 # one word a module
  "$1" - $modules 2>/dev/null <<'PY'
import importlib.util, sys
sys.exit(sys.version_info < (3, 11) or any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))
PY
}

# The full path of an interpreter that is new enough and can make environments; empty if it is none.
usable() {
  "$1" -c 'import sys, venv, ensurepip; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null || true
}
at() {
  CDPATH='' cd -- "$1" >/dev/null
}

# Ends with an interpreter: prints it, or becomes it.
use() {
  python=$1
  shift
  if [ "${1:-}" = --run ]; then
    shift
    exec "$python" "$@"
  fi
  echo "$python"
  exit
}

active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
if [ -z "${VENV:-}" ] && [ -n "$active" ] && [ -x "$active/bin/python" ] && has_packages "$active/bin/python"; then
  use "$active/bin/python" "$@"
fi

wanted=$(cat "$root/requirements.txt" "$root/pyproject.toml")
stamp=$venv/.installed$extra
if [ ! -x "$venv/bin/python" ] || [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  if [ ! -x "$venv/bin/python" ]; then
    base=""
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
      base=$(at "$root" && usable "$candidate")
      [ -n "$base" ] || base=$(at / && usable "$candidate") # a version manager may refuse .python-version here
      [ -z "$base" ] || break
    done
    if [ -z "$base" ]; then
      echo "error: no Python 3.11 or newer with the venv module found (tried ${PYTHON:-python3, python3.13, python3.12, python3.11}); install one, or name it: PYTHON=/path/to/python3" >&2
      exit 2
    fi
    echo "Making $venv with $base" >&2
    "$base" -m venv "$venv" >&2
  fi
  echo "Installing the requirements in $venv, about a minute the first time" >&2
  (
    at "$root" # requirements.txt says -e .
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt >&2
    [ -z "$extra" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".$extra" >&2
  )
  printf '%s' "$wanted" >"$stamp"
fi
use "$venv/bin/python" "$@"
