"""The proxies that are measured, each in front of the same backend, each on the same core."""

import os
import pathlib
import signal
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("PLIMSOLL_BUILD", ROOT / "build"))
PROXY_CORE, OTHER_CORE = "0", "1"

BACKEND = """
daemon off; worker_processes 1; pid {dir}/backend.pid; error_log {dir}/backend.err;
worker_rlimit_nofile 19000;
events {{ worker_connections 9000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {dir}/b1; proxy_temp_path {dir}/b2; fastcgi_temp_path {dir}/b3;
  uwsgi_temp_path {dir}/b4; scgi_temp_path {dir}/b5;
  server {{ listen 127.0.0.1:@PORT@; location / {{ return 200 "{body}"; }} }}
}}
"""

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx-{port}.pid; error_log {dir}/nginx.err;
worker_rlimit_nofile 19000;
events {{ worker_connections {connections}; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {dir}/n1; proxy_temp_path {dir}/n2; fastcgi_temp_path {dir}/n3;
  uwsgi_temp_path {dir}/n4; scgi_temp_path {dir}/n5;
  upstream u {{ server {backend}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Host $host; }} }}
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn {connections}
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s {backend}
"""

PLIMSOLL = """
proxy: {{loops: 1, access-log: off, max-connections: {connections}}}
services:
  bench:
    listen: "127.0.0.1:{port}"
    timeouts: {{idle: 300s}}
    run:
      command: [taskset, -c, "{core}", sh, -c, "sed s/@PORT@/{{port}}/ {dir}/backend.conf > {dir}/b.conf; exec nginx -c {dir}/b.conf"]
      ready: {{http: /}}
    scale: {{min: 1, max: 1}}
"""


def wait(condition, within=20):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise SystemExit("bench: timed out waiting for a server to start")


def answers(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).status == 200
    except OSError:
        return False


def children(pid):
    return [int(x) for x in
            pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Peer:
    """A running proxy: `pids` are the processes whose CPU and memory count."""

    def __init__(self, name, version, port, process, pids):
        self.name, self.version, self.port, self.process, self.pids = name, version, port, process, pids

    def cpu_us(self):
        ticks = 0
        for pid in self.pids:
            f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(f[11]) + int(f[12])
        return ticks * 1e6 / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        total = 0
        for pid in self.pids:
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()


def popen(argv, log):
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def start_plimsoll(directory, port, log, status, connections):
    directory.mkdir(exist_ok=True)
    (directory / "backend.conf").write_text(BACKEND.format(dir=directory, body="x" * 100))
    conf = directory / "plimsoll.yaml"
    conf.write_text(PLIMSOLL.format(port=port, dir=directory, core=OTHER_CORE,
                                    connections=connections))
    process = popen([str(BUILD / "plimsoll"), "run", "--state", str(directory / "state"), "--admin",
                     "off", str(conf)], log)
    s = wait(lambda: status(directory) if answers(port) else None)
    pid = s["proxy"]["pid"]
    subprocess.run(["taskset", "-a", "-p", "-c", PROXY_CORE, str(pid)], check=True,
                   stdout=subprocess.DEVNULL)
    version = subprocess.run([str(BUILD / "plimsoll"), "--version"], capture_output=True,
                             text=True).stdout.splitlines()[0].removeprefix("plimsoll ")
    backend = s["services"][0]["instances"][0]["address"].removeprefix("tcp:")
    return Peer("plimsoll", version, port, process, [pid]), backend


def start_nginx(directory, port, backend, log, connections):
    conf = directory / f"nginx-{port}.conf"
    # One connection more for each to the backend, and some for itself.
    conf.write_text(NGINX.format(dir=directory, port=port, backend=backend,
                                 connections=connections + 200))
    process = popen(["taskset", "-c", PROXY_CORE, "nginx", "-c", str(conf)], log)
    wait(lambda: answers(port))
    version = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
    return Peer("nginx", version.replace("nginx version: ", ""), port, process, children(process.pid))


def start_haproxy(directory, port, backend, log, connections):
    conf = directory / f"haproxy-{port}.cfg"
    conf.write_text(HAPROXY.format(port=port, backend=backend, connections=connections))
    process = popen(["taskset", "-c", PROXY_CORE, "haproxy", "-db", "-f", str(conf)], log)
    wait(lambda: answers(port))
    version = subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout
    return Peer("HAProxy", version.splitlines()[0].replace("HAProxy version ", "").split(" ")[0],
                port, process, [process.pid])
