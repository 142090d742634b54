#!/usr/bin/env bash
# Installs torch into an environment:  scripts/install_torch.sh PYTHON
# (TORCH=torch==2.13.0 installs that requirement instead, for example on a machine with a GPU).
#
# It installs the CPU build, because PyPI's 2.13.0 for Linux needs gigabytes of CUDA libraries that
# the tests and the demo do not use. If the configured indexes do not have it, PyTorch's public CPU
# index is used. If that has none (macOS) or cannot be reached, PyPI's build is installed.
set -euo pipefail

VERSION=2.13.0
INDEX=https://download.pytorch.org/whl/cpu

install=("$1" -m pip install --quiet --disable-pip-version-check)
if [[ -n ${TORCH:-} ]]; then
    "${install[@]}" "$TORCH"
else
    "${install[@]}" "torch==$VERSION+cpu" ||
        "${install[@]}" "torch==$VERSION+cpu" --extra-index-url "$INDEX" ||
        "${install[@]}" "torch==$VERSION"
fi
