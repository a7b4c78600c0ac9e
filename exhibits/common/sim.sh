#!/usr/bin/env bash
# What every exhibit's sim.sh does: sim.sh FOLDER TRAIN_SCRIPT ANALYZE_SCRIPT [arguments of the train script].
# Sets up the environment if need be, trains, and analyzes where the training wrote.
set -euo pipefail
here=$(cd "$1" && pwd)
train=$2 analyze=$3
shift 3
python=$("$here/../../setup.sh")
export PYTHONPATH="$here/../..${PYTHONPATH:+:$PYTHONPATH}"

"$python" "$here/$train" "$@"

folder=()
while [ $# -gt 0 ]; do
  case $1 in
  -h | --help) exit ;;
  --exp[_-]dir) folder=(--exp_dir "$2") && shift ;;
  --exp[_-]dir=*) folder=(--exp_dir "${1#*=}") ;;
  esac
  shift
done
"$python" "$here/$analyze" "${folder[@]}"
