#!/usr/bin/env bash
# Prints the path of a Python that has the requirements: the active environment's if it has them, else that of .venv,
# which the first call makes. Everything else it says goes to standard error.
#
#   ./setup.sh         what the exhibits need
#   ./setup.sh --dev   and what the tests need
#
# PYTHON names the interpreter to start from, VENV the folder of the environment.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
venv=${VENV:-$root/.venv}
modules="ngclearn ngcsimlib jax numpy matplotlib sklearn scipy tyro tqdm msgspec pooch"
extra=""
if [ "${1:-}" = --dev ]; then
  extra="[dev]"
  modules="$modules pytest xdist distributed hypothesis ruff"
fi

has_packages() {
  "$1" - $modules <<'PY' 2>/dev/null
import importlib.util, sys
sys.exit(sys.version_info < (3, 11) or any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))
PY
}

# The full path of an interpreter that is new enough and can make environments; empty if it is none.
usable() {
  "$1" -c 'import sys, venv, ensurepip; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null || true
}

active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
if [ -z "${VENV:-}" ] && [ -n "$active" ] && [ -x "$active/bin/python" ] && has_packages "$active/bin/python"; then
  echo "$active/bin/python"
  exit
fi

wanted=$(cat requirements.txt pyproject.toml)
stamp=$venv/.installed$extra
if [ ! -x "$venv/bin/python" ] || [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  if [ ! -x "$venv/bin/python" ]; then
    base=""
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
      base=$(usable "$candidate")
      [ -n "$base" ] || base=$(cd / && usable "$candidate") # a version manager may refuse .python-version here
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
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt >&2
  [ -z "$extra" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".$extra" >&2
  printf '%s' "$wanted" >"$stamp"
fi
echo "$venv/bin/python"
