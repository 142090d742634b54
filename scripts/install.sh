#!/usr/bin/env bash
# Creates the environment for the Makefile's targets:  scripts/install.sh [VENV_DIR]
# (PYTHON=... chooses the interpreter, TORCH=... another build of torch: see install_torch.sh).
#
# The packages are those of requirements/*.lock, each file checked by its SHA-256, for Python 3.11 to
# 3.13. With LOCK=no, and for another Python, the newest versions that pyproject.toml allows are
# installed. torch is in no lock, because which build is right depends on the machine. The checkout
# is installed in place, so changes in it need no second installation.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${1:-$repo/.venv}
base=${PYTHON:-python3}

"$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "install.sh: $base: expected Python 3.11 or newer, for example PYTHON=python3.11 make" >&2
    exit 2
}
lock=${LOCK:-yes}
if [[ $lock == yes ]] && ! "$base" -c 'import sys; sys.exit(sys.version_info >= (3, 14))'; then
    echo "install.sh: the lock is for Python 3.11 to 3.13: installing the newest versions" >&2
    lock=no
fi
"$base" -m venv "$venv"
python=$venv/bin/python
pip=("$python" -m pip install --quiet --disable-pip-version-check)

if [[ $lock == yes ]]; then
    # Packages that are published as source only are built with these packages.
    "${pip[@]}" --require-hashes --no-deps --requirement "$repo/requirements/build.lock"
    "${pip[@]}" --require-hashes --no-deps --no-build-isolation \
        --requirement "$repo/requirements/dev.lock"
    "$repo/scripts/install_torch.sh" "$python"
    "${pip[@]}" --no-deps --no-build-isolation --editable "$repo"
    "$python" -m pip check
else
    # torch is first, and a constraint keeps its build for everything after it.
    "$repo/scripts/install_torch.sh" "$python"
    constraints=$(mktemp)
    trap 'rm -f "$constraints"' EXIT
    "$python" -c 'from importlib.metadata import version; print("torch==" + version("torch"))' \
        >"$constraints"
    "${pip[@]}" --constraint "$constraints" \
        --editable "$repo[local,lm-eval,train,torchtune,tensorboard,dev]"
fi

# Makes `lm_eval --tasks temporal_clue` work; `tclue lm-eval --unregister` undoes it.
"$venv/bin/tclue" lm-eval --register
