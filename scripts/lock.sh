#!/usr/bin/env bash
# Writes the lock files in requirements/:  scripts/lock.sh [--upgrade]
# Without --upgrade, the locked versions are kept where they still fit pyproject.toml.
#
#   build.lock   what builds tclue, and the dependencies that are published as source only
#   dev.lock     all that the tests and the demo need, for Python 3.11 to 3.13 on Linux and macOS
#
# * Each file has its SHA-256, and pip installs no other file: see scripts/install.sh.
# * torch and its CUDA packages are left out, because which build is right depends on the machine:
#   see scripts/install_torch.sh. The versions are those that fit its torch.
# * The package index is always the public one, whatever this machine's settings say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

UV=uv==0.13.9 # pinned, so that everybody writes the same bytes
EXTRAS=(local lm-eval train torchtune tensorboard dev)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$UV"

compile() { # compile NAME SOURCE...
    if [[ -f requirements/$1.lock ]]; then cp "requirements/$1.lock" "$work/$1.lock"; fi
    "$work/venv/bin/uv" pip compile "${@:2}" --quiet --no-config --default-index https://pypi.org/simple \
        --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
        --output-file "$work/$1.lock" "${options[@]}"
    {
        echo "# Written by scripts/lock.sh: do not edit. SHA-256 of every file that pip may install."
        # A requirement begins at the beginning of a line; its hashes are indented.
        awk '/^[^ ]/ { kept = !/^(torch|triton|nvidia-[^=]*|cuda-[^=]*)==/ } kept' "$work/$1.lock"
    } >"$work/written"
    mkdir -p requirements
    cp "$work/written" "requirements/$1.lock"
}

options=("$@")
"$work/venv/bin/python" - >"$work/build.in" <<'PYTHON'
"""The build requirements, and those of an editable installation."""
import tomllib

with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], "editables", "setuptools", sep="\n")
PYTHON
sed -n 's/^VERSION=/torch==/p' scripts/install_torch.sh >"$work/torch.txt"
compile dev pyproject.toml "${EXTRAS[@]/#/--extra=}" --constraints "$work/torch.txt"
# Packages in both locks have the same version.
compile build "$work/build.in" --constraints requirements/dev.lock
