#!/bin/sh
# Prints the path of a Python that has the requirements: the active environment's if it has them, else that of .venv,
# which the first call makes. In a checkout that cannot be written to, the environment is in
# ${XDG_DATA_HOME:-~/.local/share}/snn-museum. Everything else it says goes to standard error.
#
#   ./setup.sh                        what the exhibits need
#   ./setup.sh --dev                  and what the tests need
#   ./setup.sh --docs                 and what the documentation site needs
#   ./setup.sh --run SCRIPT [ARG...]  turns into that Python, running a script
#
# PYTHON names the interpreter to start from, VENV the folder of the environment, relative to this repository. The
# versions are those that locks/ has for the Python, which were tested together; with UNLOCKED=1, the newest that
# pyproject.toml allows.
set -eu
unset CDPATH PYTHONHOME # the first makes cd talk, the second leads an environment's Python astray
given=${PYTHONSAFEPATH:-}
export PYTHONSAFEPATH=1 # no file of the folder that one is in stands for a module; --run has what was given
root=$(dirname -- "$(readlink -f -- "$0")")
modules="ngclearn ngcsimlib jax numpy matplotlib sklearn scipy tyro tqdm msgspec pooch tabulate PIL jinja2 numba"
extra=""
[ $# -le 1 ] || [ "$1" = --run ] || set -- "$*" # which is none of these
case ${1:-} in
  --dev)
    extra="[dev]"
    modules="$modules pytest xdist distributed hypothesis ruff pyright"
    ;;
  --docs)
    extra="[docs]"
    modules="$modules sphinx myst_nb furo jupytext sphinx-mathjax-offline"
    ;;
  --help | -h)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit
    ;;
  "" | --run) ;;
  *)
    echo "error: $1: expected --dev, --docs, --run SCRIPT or nothing (--help says more)" >&2
    exit 2
    ;;
esac

say() {
  echo "$*" >&2 || true # even if nobody can hear it
}

fail() {
  say "error: $*"
  exit 2
}

# Whether a Python has the modules, and the versions that pyproject.toml allows.
has_packages() {
  # shellcheck disable=SC2086 # one word a module
  "$1" - $modules "$root/pyproject.toml" >/dev/null 2>&1 <<'PY'
import sys
if sys.version_info < (3, 11):
    sys.exit(1)
import importlib.util, operator, re, tomllib
from importlib.metadata import version
*modules, path = sys.argv[1:]
if any(importlib.util.find_spec(name) is None for name in modules):
    sys.exit(1)
def numbers(text):
    return tuple(map(int, re.findall(r"\d+", text)[:3]))
with open(path, "rb") as file:
    requirements = tomllib.load(file)["project"]["dependencies"]
for requirement in requirements:
    if ";" in requirement:  # not for every machine
        continue
    name, bounds = re.match(r"([\w.-]+)(.*)", requirement).groups()
    for sign, bound in re.findall(r"(>=|<)([\d.]+)", bounds):
        if not {">=": operator.ge, "<": operator.lt}[sign](numbers(version(name)), numbers(bound)):
            sys.exit(1)
PY
}

# The full path of an interpreter that is new enough and can make environments; empty if it is none.
usable() {
  "$1" -c 'import sys, venv, ensurepip; sys.version_info >= (3, 11) and print(sys.executable)' \
    2>/dev/null || true
}

# Ends with an interpreter: prints it, or becomes it.
use() {
  python=$1
  shift
  if [ "${1:-}" = --run ]; then
    shift
    if [ -n "$given" ]; then PYTHONSAFEPATH=$given; else unset PYTHONSAFEPATH; fi
    exec "$python" "$@"
  fi
  echo "$python"
  exit
}

# The version of a Python, such as 3.12; empty if it does not run.
version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

# Whether these requirements are installed, with those of a kind of work or without.
installed() {
  [ -f "$venv/.installed$1" ] && [ "$(cat "$venv/.installed$1")" = "$wanted" ]
}

# Whether the environment is there, of these requirements, and whole. Those of any kind of work include the exhibits'.
ready() {
  { installed "$extra" || { [ -z "$extra" ] && { installed "[dev]" || installed "[docs]"; }; }; } &&
    has_packages "$venv/bin/python"
}

# Runs a command whose output goes to the log; a signal ends it too.
logged() {
  "$@" </dev/null >>"$log" 2>&1 &
  child=$!
  wait "$child"
}

# Ends with the reason of a failure, as the log has it.
fail_as_logged() {
  if grep -qiE 'name resolution|NewConnectionError|ConnectTimeout|Network is unreachable|ProxyError' "$log"; then
    cause="the package index cannot be reached"
  else
    cause=$(grep -iE '^ *error: ' "$log" | grep -vE 'Ignored the following|subprocess-exited-with-error' | head -n 1 |
      cut -d : -f 2- | cut -c 2-200)
    [ -n "$cause" ] || cause=$(tail -n 1 "$log" | cut -c 1-200)
    case $cause in # as on Alpine Linux
      *"from versions: none"*) cause="$cause: no build for this system; Linux with glibc and macOS have them" ;;
    esac
  fi
  fail "$1 ($cause); the log is $log"
}

# Makes the environment if it is not there and installs the requirements in it.
install() {
  if [ -x "$venv/bin/python" ]; then
    "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
      fail "$venv: not an environment of Python 3.11 or newer; remove it, or name another: VENV=/path/to/folder"
    # An interrupted first call may have left it without pip.
    "$venv/bin/python" -c 'import pip' 2>/dev/null || logged "$venv/bin/python" -m ensurepip ||
      fail_as_logged "$venv has no pip; remove it and run this again"
  else
    [ ! -L "$venv/bin/python" ] || fail "$venv: the Python that it was made with is gone; remove it and run this again"
    base=""
    set -- python3 python3.13 python3.12 python3.11
    [ -z "${PYTHON:-}" ] || set -- "$PYTHON"
    for candidate; do
      base=$(cd "$root" && usable "$candidate")
      [ -n "$base" ] || base=$(cd / && usable "$candidate") # a version manager may refuse .python-version here
      [ -z "$base" ] || break
    done
    [ -n "$base" ] || fail "no Python 3.11 or newer with the venv module found (tried $*); install one, or name it: PYTHON=/path/to/python3"
    say "Making $venv with $base$why"
    logged "$base" -m venv "$venv" || fail_as_logged "$venv could not be made"
  fi
  lock=$root/locks/$(version_of "$venv/bin/python").txt
  which=""
  if [ -n "${UNLOCKED:-}" ]; then
    which=" (the newest that are allowed)"
  elif [ ! -f "$lock" ]; then
    which=" (the newest that are allowed: locks/ has none for this Python)"
  fi
  say "Installing the requirements$which in $venv, about a minute the first time"
  if [ -w "$root" ]; then
    set -- -e "$root$extra"
  else # it cannot be installed from here: only what it needs
    "$venv/bin/python" - "$root/pyproject.toml" "$extra" >"$venv/requirements.txt" <<'PY' || fail "$root/pyproject.toml: cannot be read"
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
print(*project["dependencies"], *project["optional-dependencies"].get(sys.argv[2].strip("[]"), []), sep="\n")
PY
    set -- -r "$venv/requirements.txt"
  fi
  [ -n "$which" ] || set -- -c "$lock" "$@"
  PIP_USER=0 logged "$venv/bin/python" -m pip install --disable-pip-version-check "$@" ||
    fail_as_logged "the requirements could not be installed in $venv"
  has_packages "$venv/bin/python" || fail "$venv: packages are missing after they were installed; the log is $log"
  printf '%s' "$wanted" >"$venv/.installed$extra"
  rm -f "$log"
}

case ${PYTHON:-} in
  /* | "") ;;
  */*) PYTHON=$PWD/$PYTHON ;;
esac

asked="" # the version that was asked for
if [ -n "${PYTHON:-}" ]; then
  asked=$(cd "$root" && version_of "$PYTHON")
  [ -n "$asked" ] || asked=$(cd / && version_of "$PYTHON") # a version manager may refuse .python-version here
fi

# Whether a Python is of the version that was asked for, if one was.
as_asked() {
  [ -z "${PYTHON:-}" ] || [ "$(version_of "$1")" = "$asked" ]
}

active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
if [ -z "${VENV:-}" ] && [ -n "$active" ] && [ -x "$active/bin/python" ] && as_asked "$active/bin/python" &&
  has_packages "$active/bin/python"; then
  use "$active/bin/python" "$@"
fi

wanted=$(echo "$root" && cat "$root/pyproject.toml" "$root"/locks/*.txt 2>/dev/null) || true
venv=${VENV:-.venv}
case $venv in /*) ;; *) venv=$root/$venv ;; esac
venv=${venv%/}
why=""
[ -n "${VENV:-}" ] || [ -z "$active" ] || why=" (the active environment, $active, lacks some of the requirements or has another version of Python)"
if ! ready && [ -z "${VENV:-}" ] && [ ! -w "$root" ]; then
  data=${HOME:-}/.local/share
  case ${XDG_DATA_HOME:-} in /*) data=$XDG_DATA_HOME ;; esac
  [ "$data" != /.local/share ] ||
    fail "$root: cannot be written to, and HOME is not set; name a folder for the environment: VENV=/path/to/folder"
  venv=$data/snn-museum/$(printf %s "${root#/}" | tr / -)/venv # as in exhibits/common/system/places.py
  why=" (this checkout cannot be written to)"
fi
[ ! -x "$venv/bin/python" ] || as_asked "$venv/bin/python" ||
  fail "PYTHON=$PYTHON: ${asked:-does not run}, but $venv has Python $(version_of "$venv/bin/python"); name another folder, such as VENV=.venv-other, or leave PYTHON out"
if ! ready; then
  log=$venv.log
  { mkdir -p -- "$(dirname -- "$venv")" && touch "$log" "$venv.lock"; } 2>/dev/null ||
    fail "$(dirname -- "$venv"): cannot be written to; name a folder for the environment: VENV=/path/to/folder"
  child=""
  for signal in HUP:129 INT:130 TERM:143; do
    # shellcheck disable=SC2064 # the code is known now
    trap "[ -z \"\$child\" ] || kill \"\$child\" 2>/dev/null; exit ${signal#*:}" "${signal%:*}"
  done
  if command -v flock >/dev/null; then # one at a time, and the second finds what the first has made
    exec 9>"$venv.lock"
    flock -n 9 || {
      say "Waiting for another process that installs in $venv"
      flock 9 &
      child=$!
      wait "$child" || say "$venv.lock: cannot be locked; let no other process install there meanwhile"
    }
  fi
  ready || { : >"$log" && install "$@"; }
  exec 9>&-
  trap - HUP INT TERM
fi
use "$venv/bin/python" "$@"
