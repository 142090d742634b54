"""The size of the memory, and how many tokens' keys and values fit into it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
# Share of the memory (on a GPU, of what is free) that the keys and values of a batch may take.
CACHE_SHARE = 0.4


def memory_bytes() -> int:
    """All main memory of the machine, or what a container may take of it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if CGROUP_LIMIT.exists() and (limit := CGROUP_LIMIT.read_text().strip()).isdecimal():
        memory = min(memory, int(limit))
    return memory


def kv_cache_capacity_tokens(config: Any, dtype: Any, device: str) -> int:
    """Tokens whose keys and values fit the share of memory that they may take.

    `config` is a text model's configuration, `dtype` torch's. On a CPU it is a share of all memory,
    not of what is free: batches of another size round differently, and a resumed run is to have
    the numbers of one that was not interrupted.
    """
    import torch

    free_bytes = torch.cuda.mem_get_info()[0] if device == "cuda" else memory_bytes()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token_bytes = 2 * config.num_hidden_layers * heads * size * dtype.itemsize
    return int(CACHE_SHARE * free_bytes / token_bytes)
