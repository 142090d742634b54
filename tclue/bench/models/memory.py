"""The size of the memory, and the number of tokens whose keys and values fit into it."""

import os
from pathlib import Path
from typing import Any

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
# Share of the memory (on a GPU: of the free memory) that the keys and values of a batch may use.
CACHE_SHARE = 0.4


def memory_bytes() -> int:
    """The main memory of the machine, or the part of it that a container may use."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if CGROUP_LIMIT.exists() and (limit := CGROUP_LIMIT.read_text().strip()).isdecimal():
        memory = min(memory, int(limit))
    return memory


def kv_cache_capacity_tokens(config: Any, dtype: Any, device: str) -> int:
    """The number of tokens whose keys and values fit into CACHE_SHARE of the memory.

    `config` is the configuration of a text model, `dtype` is torch's. On a CPU the share is that of
    all memory, not of the free memory. Batches of another size round differently, and a resumed run
    must give the same numbers as one that was not interrupted.
    """
    import torch

    free_bytes = torch.cuda.mem_get_info()[0] if device == "cuda" else memory_bytes()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token_bytes = 2 * config.num_hidden_layers * heads * size * dtype.itemsize
    return int(CACHE_SHARE * free_bytes / token_bytes)
