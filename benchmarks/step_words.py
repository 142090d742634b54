"""The figures of `train_step.py` as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def show(figures: Mapping[str, Any]) -> str:
    """The figures as plain text."""
    lines = [
        f"{figures['machine']}, {figures['threads']} threads, load {figures['load']:.1f} before; "
        f"commit {figures['commit']}",
        f"{figures['model']}: {figures['puzzles']} puzzles by {figures['responses']} responses, "
        f"packs of {figures['pack_length']}, medians of {figures['rounds']} rounds",
        *figures["left_out"],
        "",
        "            responses  seconds     logical  executed  loss-bearing tokens a second",
    ]
    for name, row in figures["steps"].items():
        share = f"{row['peak_share']:.0%} of peak" if row["peak_share"] else "peak unknown"
        lines.append(
            f"{rates(name, row)}  {share}; time {row['wall_ratio']:.2f} of packed, "
            f"of processor time {row['cpu_ratio']:.2f}"
        )
    if sampled := figures["sampling"]:
        lines.append(f"{rates('sampling', sampled)}  {sampled['sampled']} tokens sampled")
    if figures["peak"]:
        lines.append(
            f"peak: {figures['peak'] / 1e9:.0f} billion operations a second ({figures['peak_is']})"
        )
    if iterations := figures.get("iterations"):
        lines += [
            "",
            "iterations  seconds  sampling  processor time  tokens sampled  logical a second",
        ]
        lines += [
            iteration_line(name, iterations[name]) for name in ("ours", "trl") if name in iterations
        ]
        lines.append(
            f"trl {iterations['trl_version']} takes {iterations['wall_ratio']:.2f} times as long, "
            f"{iterations['cpu_ratio']:.2f} times the processor time; ours has "
            f"{iterations['tokens_ratio']:.2f} times the tokens a second"
            if iterations["trl_version"]
            else "TRL is left out: no --trl-python"
        )
    return "\n".join(lines)


def rates(name: str, row: Mapping[str, Any]) -> str:
    """The beginning of a line: what was measured, and tokens per second."""
    return (
        f"{name:11} {row['responses']:9} {row['wall_s']:8.2f}  {row['logical_per_s']:10.0f} "
        f"{row['executed_per_s']:9.0f} {row['loss_bearing_per_s']:13.0f}"
    )


def iteration_line(name: str, row: Mapping[str, Any]) -> str:
    """The time of an iteration."""
    return (
        f"{name:11} {row['wall_s']:7.2f} {row['sample_s']:9.2f} {row['cpu_s']:15.2f} "
        f"{row['sampled_tokens']:15.0f} {row['logical_per_s']:17.0f}"
    )
