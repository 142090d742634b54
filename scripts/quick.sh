#!/usr/bin/env bash
# What `make quick` runs:  scripts/quick.sh BIN_DIR
# Types are checked while the fast tests run. The last line says what failed. The marks `slow`,
# `model` and `server` are explained in pyproject.toml.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=$1
failed=()
types=$(mktemp)
trap 'rm -f "$types"' EXIT

"$bin/mypy" >"$types" 2>&1 &
mypy=$!
"$bin/ruff" check || failed+=("style (ruff check)")
"$bin/ruff" format --check || failed+=("layout (ruff format)")
"$bin/python" -m pytest -n auto --dist loadfile -m "not slow and not model and not server" ||
    failed+=("fast tests")
wait "$mypy" || failed+=("types (mypy)")
cat "$types"

if ((${#failed[@]})); then
    printf 'make quick: after %s s, these failed:' "$SECONDS"
    printf ' %s;' "${failed[@]}"
    printf '\n'
    exit 1
fi
printf 'make quick: passed in %s s\n' "$SECONDS"
