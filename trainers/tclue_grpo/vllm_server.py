"""A vLLM server on loopback that belongs to the process that starts it.

    with closing(Server(Path("checkpoint"), find_python(), ServerSettings(), new_log())) as server:
        post(f"{server.url}/v1/completions", {"model": server.model, ...})

Design:
* vLLM runs in its own environment if its pinned dependencies require that (`find_python`), and is
  used over HTTP. Apart from `tclue.errors`, this module imports the standard library only.
* Server and engine form one process group. Closing ends the whole group, by force after a grace
  period. If this process is killed, a watchdog in the group notices that its parent has changed,
  ends the group, and removes the scratch folder.
* On a CPU: fp32 and no compilation (eager, TorchDynamo off), because compiling costs more than it
  saves in short runs. Prompts are never split over steps ("chunked prefill"): vLLM 0.32.0 crashes
  with "CPU Generator does not use offset" if it splits the prompt of a request with a seed.
* On a GPU: bf16, compiled, with a share of the memory, because the trainer needs the rest.
* Log-probabilities are those of the sampling distribution, with temperature; no defaults are taken
  from generation_config.json.
* Loopback only, no hub, no usage statistics. The endpoints that change weights are unprotected:
  every process that can reach loopback can use them.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tclue.errors import UserError

GRACE_S = 10.0  # from SIGTERM to SIGKILL
START_S = 600.0  # a start takes 40 to 60 s, many times that on an overloaded machine
MODEL = "policy"  # the model's name in requests

NOT_INHERITED = {
    *("PYTHONPATH", "PYTHONHOME", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME"),
    *("MASTER_ADDR", "MASTER_PORT"),
}

# It checks its parent's id instead of reading a pipe, which a forked process would keep open.
WATCHDOG = f"""
import os, shutil, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.5)
if sys.argv[2]:
    shutil.rmtree(sys.argv[2], ignore_errors=True)
os.killpg(0, signal.SIGTERM)
time.sleep({GRACE_S})
os.killpg(0, signal.SIGKILL)
"""


@dataclass(frozen=True)
class ServerSettings:
    """The settings of a server."""

    on_gpu: bool = False
    # limit of prompt and response together, in tokens
    max_model_len: int = 4096
    # float32 or bfloat16; empty takes bfloat16 on a GPU, else float32
    dtype: str = ""
    # share of a GPU's memory that the server may take
    gpu_memory: float = 0.3
    # the number of GPUs that the weights are split over (tensor parallelism)
    gpus: int = 1

    @property
    def precision(self) -> str:
        """The type of the weights."""
        return self.dtype or ("bfloat16" if self.on_gpu else "float32")

    def arguments(self) -> list[str]:
        """The server's arguments, except checkpoint and port."""
        common = [
            *("--dtype", self.precision, "--max-model-len", str(self.max_model_len)),
            *("--generation-config", "vllm", "--logprobs-mode", "processed_logprobs"),
            "--enable-prefix-caching",
        ]
        if self.on_gpu:
            split = ("--tensor-parallel-size", str(self.gpus))
            return [*common, "--gpu-memory-utilization", str(self.gpu_memory), *split]
        batched = ("--max-num-batched-tokens", str(self.max_model_len))
        return [*common, "--enforce-eager", "--no-enable-chunked-prefill", *batched]

    def environment(self) -> dict[str, str]:
        """The server's environment variables: most of this process's, and the settings."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            # The others would give the server other packages, other settings of vLLM than those
            # below, or the trainer's own process group.
            if name not in NOT_INHERITED and not name.startswith(("VLLM_", "TORCHELASTIC_"))
        }
        common = {
            "VLLM_SERVER_DEV_MODE": "1",  # /collective_rpc and /reset_prefix_cache
            "VLLM_HOST_IP": "127.0.0.1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        on_cpu = {
            "TORCHDYNAMO_DISABLE": "1",
            "OMP_NUM_THREADS": "2",
            # On two cores that were also busy with other work, spinning at barriers took 2.7 times
            # the processor time for the same tokens.
            "OMP_WAIT_POLICY": "passive",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # pinned threads starve on shared cores
            "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB, for keys and values
        }
        return inherited | common | ({} if self.on_gpu else on_cpu)


def find_python(configured: str = "") -> Path:
    """The Python that has vLLM: configured, from the environment, .venv-vllm, or this one."""
    for given, source in (
        (configured, "rollout.vllm_python"),
        (os.environ.get("TCLUE_VLLM_PYTHON", ""), "TCLUE_VLLM_PYTHON"),
    ):
        if given:
            path = Path(given).expanduser().absolute()
            path = path / "bin" / "python" if path.is_dir() else path
            if not path.is_file():
                raise UserError(
                    f"{source}: {given}: expected a Python, or an environment that has one"
                )
            return path
    # In a checkout. The link bin/python is not resolved: its target has no vLLM.
    checkout_python = Path(__file__).absolute().parents[2] / ".venv-vllm" / "bin" / "python"
    if checkout_python.is_file():
        return checkout_python
    if find_spec("vllm") is not None:
        return Path(sys.executable)
    raise UserError(
        "vLLM is not installed: install it into its own environment (in a checkout, run "
        "scripts/vllm_env.sh), and set rollout.vllm_python or TCLUE_VLLM_PYTHON to its Python"
    )


class Server:
    """A running server, until it is closed or its owner dies."""

    def __init__(
        self,
        checkpoint: Path,
        python: Path,
        settings: ServerSettings,
        log: Path,
        *,
        args: Sequence[str] = (),  # further arguments of the server
        scratch: Path | None = None,  # a folder to be removed if the owner is killed
    ) -> None:
        self.model, self.log = MODEL, log
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"  # without "/v1"
        watchdog = [sys.executable, "-I", "-S", "-c", WATCHDOG, str(os.getpid())]
        self._watchdog = subprocess.Popen(
            [*watchdog, str(scratch or "")], stdin=subprocess.DEVNULL, process_group=0
        )
        command = [
            *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(checkpoint.resolve()), "--served-model-name", MODEL),
            *("--host", "127.0.0.1", "--port", str(port), *settings.arguments(), *args),
        ]
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=settings.environment(),
                    # `python -m` imports from the working directory first: none with packages.
                    cwd=python.parent.parent,
                    process_group=self._watchdog.pid,
                )
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The id of the server's process; its engine is another process of the same group."""
        return self._process.pid

    def close(self) -> None:
        """End the whole process group."""
        process = getattr(self, "_process", None)
        if self._watchdog.poll() is None:
            os.killpg(self._watchdog.pid, signal.SIGTERM)  # the watchdog ignores it
            if process is not None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_S)
            os.killpg(self._watchdog.pid, signal.SIGKILL)
            self._watchdog.wait()
        if process is not None:
            process.wait()

    def _wait(self) -> None:
        """Wait until /health answers; raise UserError if it does not."""
        deadline = time.monotonic() + START_S
        while not is_healthy(self.url):
            code = self._process.poll()
            if code is None and time.monotonic() < deadline:
                time.sleep(0.5)
                continue
            problem = f"no answer in {START_S:.0f} s" if code is None else f"ended with code {code}"
            raise UserError(f"vLLM did not start: {problem}: see {self.log}{last_error(self.log)}")


def new_log() -> Path:
    """A new log file in the temporary folder."""
    handle, name = tempfile.mkstemp(prefix="vllm-", suffix=".log")
    os.close(handle)
    return Path(name)


def scratch_folder() -> Path:
    """A new folder for weights to be loaded by the server; in memory if possible."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    return Path(tempfile.mkdtemp(prefix="tclue-weights-", dir=memory if usable else None))


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_healthy(url: str) -> bool:
    """Whether the server answers that it is ready."""
    # No proxy: a configured one would be used for loopback too.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def last_error(log: Path) -> str:
    """The last line of a log that names an error, to be appended to a message."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if "Error" in line]
    return f" ({errors[-1][-200:]})" if errors else ""
