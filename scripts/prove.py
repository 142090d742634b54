"""Prove that training learns: three seeds of the preset `tiny`, and a control that must not.

    python scripts/prove.py --out DIR [--seeds 1,2,3] [--set KEY=VALUE ...]

Each training is `tclue train --preset tiny --then-bench --json` in its own folder. These claims are
checked for each seed: accuracy on `easy-test`, sampled at temperature 1, increases by 0.10 or more;
the paired 95% interval of the increase is above 0; greedy accuracy does not decrease; and the
command takes at most 15 minutes. The control is seed 1 with the rewards of each batch shuffled
among its responses: its interval must include 0 or values below. Each result is a line of JSON in
DIR/proof.jsonl, and a result that is already there is not computed again. The exit code is 1 if a
claim is not met.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LEAST_RISE = 0.10
MOST_S = 15 * 60.0


def command_for(name: str, seed: int, out: Path, settings: list[str]) -> list[str]:
    """The command of one training."""
    folder = out / name
    return [
        *("tclue", "train", "--preset", "tiny", "--then-bench", "--json", "--seed", str(seed)),
        *("--run", name, "--runs", str(folder / "runs")),
        *("--results", str(folder / "results"), "--board", str(folder / "board")),
        *(part for setting in settings for part in ("--set", setting)),
    ]


def train(name: str, command: list[str]) -> dict[str, Any]:
    """Run a command, with its progress on standard error. Returns the JSON of its last line."""
    print("$", *command, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"name": name, "command": " ".join(command)} | result


def faults(result: dict[str, Any]) -> list[str]:
    """The claims that a result does not meet."""
    low, high = result["interval"]
    if result["name"] == "control":
        return [f"the control gained: {low:+.3f} to {high:+.3f}"] if low > 0 else []
    asked = {
        f"rose by {result['difference']:+.3f}": result["difference"] >= LEAST_RISE,
        f"interval from {low:+.3f}": low > 0,
        f"greedy {result['greedy_difference']:+.3f}": result["greedy_difference"] >= 0,
        f"took {result['seconds']:.0f} s": result["seconds"] <= MOST_S,
    }
    return [observed for observed, holds in asked.items() if not holds]


def main() -> None:
    """Run the trainings that are missing, and report which claims are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "proof.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    results = {r["name"]: r for r in map(json.loads, lines)}
    wanted = [(f"seed-{seed}", int(seed), args.settings) for seed in args.seeds.split(",")]
    wanted.append(("control", wanted[0][1], [*args.settings, "reward.shuffle=true"]))
    failed = False
    for name, seed, settings in wanted:
        command = command_for(name, seed, args.out, settings)
        if name not in results:
            results[name] = train(name, command)
            with path.open("a") as file:
                file.write(json.dumps(results[name]) + "\n")
        r = results[name]
        if r["command"] != " ".join(command):
            sys.exit(f"{path}: {name} is of another command ({r['command']}): take another --out")
        wrong = faults(r)
        failed |= bool(wrong)
        print(
            f"{name}: {r['base_accuracy']:.3f} to {r['trained_accuracy']:.3f}, "
            f"{r['difference']:+.3f} [{r['interval'][0]:+.3f}, {r['interval'][1]:+.3f}], greedy "
            f"{r['greedy_difference']:+.3f}, {r['puzzles']} puzzles, {r['seconds']:.0f} s: "
            + ("; ".join(wrong) or "as asked"),
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
