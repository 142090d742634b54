#!/usr/bin/env bash
# Makes the environment that the Makefile's targets run in:  scripts/install.sh [VENV_DIR]
# (PYTHON=... picks the interpreter, TORCH=... another build of torch: see install_torch.sh).
#
# torch comes first, and what comes after it may not replace it: a constraint holds its version. The
# checkout is installed in place, so editing it needs no second install.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${1:-$repo/.venv}
base=${PYTHON:-python3}

"$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "install.sh: $base: Python 3.11 or newer is needed; PYTHON=python3.11 make picks one" >&2
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

# So that plain `lm_eval --tasks temporal_clue` works; `tclue lm-eval --unregister` takes it back.
"$venv/bin/tclue" lm-eval --register
