#!/usr/bin/env bash
# Creates the environment for the Makefile's targets:  scripts/install.sh [VENV_DIR]
# (PYTHON=... chooses the interpreter, TORCH=... another build of torch: see install_torch.sh).
#
# torch is installed first, and a constraint keeps its version for everything after it. The checkout
# is installed in place, so changes in it need no second installation.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${1:-$repo/.venv}
base=${PYTHON:-python3}

"$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "install.sh: $base: expected Python 3.11 or newer, for example PYTHON=python3.11 make" >&2
    exit 2
}
"$base" -m venv "$venv"
python=$venv/bin/python
"$repo/scripts/install_torch.sh" "$python"

constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
"$python" -c 'from importlib.metadata import version; print("torch==" + version("torch"))' \
    >"$constraints"
"$python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" \
    --editable "$repo[local,lm-eval,train,torchtune,tensorboard,dev]"

# Makes `lm_eval --tasks temporal_clue` work; `tclue lm-eval --unregister` undoes it.
"$venv/bin/tclue" lm-eval --register
