#!/usr/bin/env bash
# Trains the BFA-SNN on MNIST, evaluates it on the test set and draws the plots in exp/; sets everything up if need be.
# Arguments go to the train script: ./sim.sh --epochs 1, ./sim.sh --help
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/../../setup.sh")
export PYTHONPATH="$here/../..${PYTHONPATH:+:$PYTHONPATH}"

"$python" "$here/train_bfasnn.py" "$@"

# The analysis looks where the training wrote.
folder=()
while [ $# -gt 0 ]; do
  case $1 in
  -h | --help) exit ;;
  --exp[_-]dir) folder=(--exp_dir "$2") && shift ;;
  --exp[_-]dir=*) folder=(--exp_dir "${1#*=}") ;;
  esac
  shift
done
"$python" "$here/analyze_bfsnn.py" "${folder[@]}"
