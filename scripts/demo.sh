#!/usr/bin/env bash
# A small offline demonstration in a temporary folder (or in DEMO_DIR=...): generates and proves
# puzzles, benchmarks models, trains a model and benchmarks it again, and draws a board.
set -euo pipefail

demo=${DEMO_DIR:-$(mktemp -d)}
export HF_HUB_OFFLINE=1 LITELLM_LOCAL_MODEL_COST_MAP=True

say() { printf '\n\e[1m%s\e[0m\n' "$1"; }
run() { printf '$ %s\n' "$*" && "$@"; }

mkdir -p "$demo"
cd "$demo"
say "1. Puzzles, each with exactly one solution: proved by SAT, and again by CP-SAT"
run tclue generate -n 5 --seed 1 --difficulty medium --reprove -o puzzles.jsonl
run tclue check puzzles.jsonl --minimal --history

say "2. Models on 256 one-player puzzles: chance, the ceiling, and the checkpoint in this repository"
run tclue bench --models random,solver,tiny --puzzles easy-test --samples 2 --results results

say "3. The checkpoint trained for some iterations on fresh puzzles, and benchmarked together with its base"
run tclue train --preset tiny --then-bench --seed 1 --results results --board board \
    --set train.iterations=10 --set update.decay_iterations=4 --set train.validate_every=5 \
    --set train.save_every=5 --set train.validation_puzzles=32 --set bench.samples=2

say "4. The board"
run tclue leaderboard --results results --board board
printf '\nEverything is in %s\n' "$demo"
