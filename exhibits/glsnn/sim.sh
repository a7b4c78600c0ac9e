#!/bin/sh
# Trains the GLSNN on MNIST, evaluates it on the test set and draws the plots in exp/; sets everything up if need be.
# Arguments go to the train script: ./sim.sh --dataset fashion_mnist, ./sim.sh --epochs 1, ./sim.sh --help
here=$(dirname -- "$(readlink -f -- "$0")")
exec "$here/../../setup.sh" --run "$here/../common/scripts/sim.py" "$here" train_glsnn.py analyze_glsnn.py "$@"
