#!/bin/sh
# Importing OpenVINO's Python package sends a message to a web analytics service and gives the user
# a number that stays.
#
# Versions: openvino 2026.4.1 with openvino-telemetry 2025.2.0, which pip installs beside it
# (Python 3.11, Linux).
# What one would guess: "import openvino" loads libraries; a program that only computes sends
# nothing, or asks before.
# What it does: nothing is asked. The import writes a client number and counters below the home
# folder (intel/openvino_ga_cid, intel/stats) and, as Python ends at the latest, a request to
# www.google-analytics.com is made. It stays silent where the variable CI is "true", or where the
# user has declined once with the command opt_in_out --opt_out.
# Who meets it: programs that promise to work offline and to send nothing, and machines where such
# traffic is an incident. Installed without openvino-telemetry, the same import sends nothing.
#
# Seen on 2026-11-29:
#   with openvino-telemetry: hosts asked for: www.google-analytics.com; files: openvino_ga_cid stats
#   without it:              hosts asked for: none; files: none
#
# Ends with 0 where all this is still so, with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install -q openvino==2026.4.1 openvino-telemetry==2025.2.0
cat >"$folder/look.py" <<'PYTHON'
import sys


def hear(event, args):
    if event == "socket.getaddrinfo":
        print("host", args[0], file=sys.stderr, flush=True)


sys.addaudithook(hear)
import openvino  # noqa: E402, F401
PYTHON
look() {
    mkdir "$folder/$1"
    env -u CI HOME="$folder/$1" "$folder/env/bin/python" "$folder/look.py" 2>"$folder/$1.heard" || true
    hosts=$(sed -n 's/^host //p' "$folder/$1.heard" | sort -u | tr '\n' ' ')
    files=$(find "$folder/$1/intel" -type f -exec basename {} \; 2>/dev/null | sort | tr '\n' ' ')
    echo "$1: hosts asked for: ${hosts:-none }; files: ${files:-none }"
}
look with
with="$hosts|$files"
"$folder/env/bin/python" -m pip uninstall -q -y openvino-telemetry
look without
without="$hosts|$files"
if [ "$with" = "www.google-analytics.com |openvino_ga_cid stats " ] && [ "$without" = "|" ]; then
    echo "as described"
else
    echo "changed: this finding needs another look"
    exit 1
fi
