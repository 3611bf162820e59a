#!/usr/bin/env bash
# Makes the Python environment of the foreign-client tests in .venv; does nothing where it stands already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
requirements=test/interop/requirements.txt
stamp=.venv/interop-requirements.txt
cmp -s "$requirements" "$stamp" && exit 0
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
cp "$requirements" "$stamp"
