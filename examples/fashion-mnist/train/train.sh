#!/usr/bin/env bash
# Trains the demo's models: with the system's torch where there is one, else in a virtual environment made here.
# Arguments go to train.py (--help lists them). Data: Debian's package dataset-fashion-mnist, or --data FOLDER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=python3
if ! python3 -c 'import numpy, torch' 2>/dev/null; then
  python=.venv/bin/python
  [ -x "$python" ] || python3 -m venv .venv
  "$python" -m pip install --quiet --requirement requirements.txt
fi
exec "$python" train.py "$@"
