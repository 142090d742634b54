"""The figures of `train_step.py` as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def show(found: Mapping[str, Any]) -> str:
    """The figures as plain text."""
    lines = [
        f"{found['machine']}, {found['threads']} threads, load {found['load']:.1f} before; "
        f"commit {found['commit']}",
        f"{found['model']}: {found['puzzles']} puzzles by {found['responses']} responses, "
        f"packs of {found['pack_length']}, medians of {found['rounds']} rounds",
        *found["left_out"],
        "",
        "            responses  seconds     logical  executed  loss-bearing tokens a second",
    ]
    for name, one in found["steps"].items():
        share = f"{one['peak_share']:.0%} of peak" if one["peak_share"] else "peak unknown"
        lines.append(
            f"{rates(name, one)}  {share}; time {one['wall_ratio']:.2f} of packed, "
            f"of processor time {one['cpu_ratio']:.2f}"
        )
    if sampled := found["sampling"]:
        lines.append(f"{rates('sampling', sampled)}  {sampled['sampled']} tokens sampled")
    if found["peak"]:
        lines.append(
            f"peak: {found['peak'] / 1e9:.0f} billion operations a second ({found['peak_is']})"
        )
    if whole := found.get("iterations"):
        lines += [
            "",
            "iterations  seconds  sampling  processor time  tokens sampled  logical a second",
        ]
        lines += [iteration_line(name, whole[name]) for name in ("ours", "trl") if name in whole]
        lines.append(
            f"trl {whole['trl_version']} takes {whole['wall_ratio']:.2f} times as long, "
            f"{whole['cpu_ratio']:.2f} times the processor time; ours has "
            f"{whole['tokens_ratio']:.2f} times the tokens a second"
            if whole["trl_version"]
            else "TRL is left out: no --trl-python"
        )
    return "\n".join(lines)


def rates(name: str, one: Mapping[str, Any]) -> str:
    """A line's beginning: what was done, and tokens a second."""
    return (
        f"{name:11} {one['responses']:9} {one['wall_s']:8.2f}  {one['logical_per_s']:10.0f} "
        f"{one['executed_per_s']:9.0f} {one['loss_bearing_per_s']:13.0f}"
    )


def iteration_line(name: str, one: Mapping[str, Any]) -> str:
    """What an iteration took."""
    return (
        f"{name:11} {one['wall_s']:7.2f} {one['sample_s']:9.2f} {one['cpu_s']:15.2f} "
        f"{one['sampled_tokens']:15.0f} {one['logical_per_s']:17.0f}"
    )
