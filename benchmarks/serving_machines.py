"""Answers a second of one ``headstart serve`` and of two, behind nginx as the balancer.

all-MiniLM-L6-v2 on texts of 4 to 120 words, wrk with 16 connections as the load. Each server has a
core of its own; nginx sends a request to whichever has the fewest under way. One and two follow one
another in turns. nginx and wrk are Debian's (``apt-get install nginx-light wrk``).

    python benchmarks/serving_machines.py [--seconds 6] [--turns 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

from serving import free_port, load, lua, serving
from serving_models import make_texts
from timing import describe_machine

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream models {{ least_conn; {servers} keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://models;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
"""


@contextmanager
def balanced(folder: Path, ports: list[int]):
    """Run nginx in front of servers while the block runs; gives its port."""
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{one};" for one in ports)
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(folder=folder, servers=servers, port=port))
    process = subprocess.Popen(["nginx", "-c", str(path)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def answers_a_second(bundle: Path, script: Path, folder: Path, cores: list[int], seconds: int):
    """Return answers a second of a server on each of some cores, behind one balancer."""
    with ExitStack() as stack:
        ports, groups = [], []
        for core in cores:
            port = free_port()
            command = ["taskset", "-c", str(core), sys.executable, "-m", "headstart", "serve"]
            words = [*command, str(bundle), "--port", str(port)]
            made = serving(words, port, "/v2/health/ready", is_free=True)
            groups.append(stack.enter_context(made).pid)
            ports.append(port)
        port = stack.enter_context(balanced(folder, ports))
        url = f"http://127.0.0.1:{port}/v1/predict"
        load(url, script, 16, 1, groups[0])  # warm
        return load(url, script, 16, seconds, groups[0])["a second"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    print(describe_machine(1).sentence())
    cores = sorted(os.sched_getaffinity(0))[-2:]
    if len(cores) < 2:
        raise SystemExit("Two servers need two cores.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, bodies, kind = make_texts(folder, 64)
        script = lua(folder / "bodies.lua", bodies, kind)
        ratios = []
        for _ in range(args.turns):
            one = answers_a_second(bundle, script, folder, cores[1:], args.seconds)
            two = answers_a_second(bundle, script, folder, cores, args.seconds)
            ratios.append(two / one)
            print(f"one {one:.1f} a second, two {two:.1f}: {two / one:.2f} times as many")
        print(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
