#!/usr/bin/env bash
# Builds the source distribution and the wheel, and checks them and the repository's metadata:
#   scripts/check_package.sh PYTHON     (PYTHON needs the package `build`; replaces the folder dist/)
#
# The checking tools have an environment of their own, .venv-package. cffconvert asks for jsonschema
# below 4 and check-jsonschema for one above it, so cffconvert is installed without its dependencies;
# it calls jsonschema.validate, which both versions have.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Pinned, because the verdicts of these tools change between releases.
TOOLS=(
    validate-pyproject[all]==0.27
    trove-classifiers==2026.9.21.13
    twine==7.0.0
    check-wheel-contents==0.6.3
    check-jsonschema==0.39.0
    pre-commit==4.7.0
    pykwalify==1.8.0 # for cffconvert
)
CFFCONVERT=cffconvert==2.0.0

python=$1
tools=.venv-package
stamp=$tools/.pins
pins="${TOOLS[*]} $CFFCONVERT"
if [[ ! -f $stamp || $(<"$stamp") != "$pins" ]]; then
    "$python" -m venv --clear "$tools"
    pip=("$tools/bin/python" -m pip install --quiet --disable-pip-version-check)
    "${pip[@]}" "${TOOLS[@]}"
    "${pip[@]}" --no-deps "$CFFCONVERT"
    echo "$pins" >"$stamp"
fi
export PATH="$PWD/$tools/bin:$PATH"

validate-pyproject pyproject.toml
cffconvert --validate
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
check-jsonschema --builtin-schema vendor.github-issue-forms \
    $(find .github/ISSUE_TEMPLATE -name '*.yml' ! -name config.yml)
check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
pre-commit validate-config

rm -rf dist
"$python" -m build .
twine check --strict dist/*
check-wheel-contents dist/*.whl
