"""Helpers between a policy and a vLLM server: weights that it reloads correctly, and a test pack.

They have no side effects except the checkpoint's files.
"""

import json
from pathlib import Path

from torch import Tensor

from tclue.puzzle.grading.grade import Grade
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.hf_files import write_checkpoint
from tclue_grpo.packing import Pack, pack_groups
from tclue_grpo.rollout import GradedSample, Group, Sample

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def write_untied(state: dict[str, Tensor], base: Path, folder: Path) -> None:
    """Write a checkpoint in which a tied head is a separate weight.

    It stays tied if the embedding has another name: the check after each sync then fails.
    """
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    # Without this key a configuration counts as untied; some versions of transformers would tie.
    if not config.get("tie_word_embeddings", False) or EMBEDDING not in state:
        write_checkpoint(state, base, folder)
        return
    write_checkpoint({**state, HEAD: state[EMBEDDING].clone()}, base, folder)
    text = json.dumps(config | {"tie_word_embeddings": False}, indent=1)
    (folder / "config.json").write_text(text, encoding="utf-8")


def check_pack(prompt: list[int], sample: Sample) -> Pack:
    """A pack of one prompt with one response, all of whose tokens count."""
    response = GradedSample(sample, "", Grade(0.0, False, {}, (), None))
    group = Group(Puzzle("", id="check"), prompt, [response])
    (pack,) = pack_groups([group], len(prompt) + len(sample.ids), mask_truncated=False)
    return pack
