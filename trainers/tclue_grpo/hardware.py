"""The hardware of this machine, found without torch: GPUs by nvidia-smi, memory by the kernel."""

import os
import subprocess
from dataclasses import dataclass

from tclue.bench.models.memory import memory_bytes

GB = 1e9
SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Machine:
    """The hardware that a run may use."""

    # name and bytes of each GPU
    gpus: tuple[tuple[str, int], ...]
    # bytes of main memory
    memory: int
    cores: int

    @property
    def summary(self) -> str:
        """The machine in words."""
        if not self.gpus:
            return f"no GPU, {self.cores} CPU cores, {self.memory / GB:.0f} GB of memory"
        name, memory = self.gpus[0]
        return f"{len(self.gpus)} x {name} of {memory / GB:.0f} GB"


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(_gpus(), memory_bytes(), len(os.sched_getaffinity(0)))


def _gpus() -> tuple[tuple[str, int], ...]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        # No driver, no GPU.
        return ()
    rows = [line.rpartition(", ") for line in done.stdout.splitlines() if line.strip()]
    gpus = [(name, int(mebibytes) * 2**20) for name, _, mebibytes in rows if mebibytes.isdecimal()]
    if visible is None:
        return tuple(gpus)
    return tuple(gpus[int(i)] for i in visible.split(",") if i.isdecimal() and int(i) < len(gpus))
