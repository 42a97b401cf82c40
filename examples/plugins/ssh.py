#!/usr/bin/env python3
"""A plugin in Python: instances are processes on other machines, reached over ssh, round robin.

    exec:
      command: [python3, /etc/plimsoll/ssh.py, web1, root@web2, web3=10.0.0.3]
      config: {command: "exec my-server --port $PORT", port: "21000"}

Each host runs local.sh, which lies beside this file: nothing has to be installed there. HOST=ADDRESS
says where the instances of a host are reached, when its name does not. $SSH_COMMAND replaces `ssh`
and its options; --folder says where a host remembers its instances (/tmp/plimsoll).

An instance's number says which host it belongs to, so a start that is repeated, by this plugin or by
another controller's, always comes to the same host, where its name starts once. A host that does
not answer refuses what is new (the next number is another host's turn); what it had is still listed,
for nobody knows that it is gone. What was asked for too long ago (`until`) is refused by the host,
by its own clock: let NTP keep it right.
"""

import argparse
import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import threading
import time

AGENT = pathlib.Path(__file__).resolve().with_name("local.sh")
SSH = shlex.split(os.environ.get(
    "SSH_COMMAND",
    "ssh -o BatchMode=yes -o ConnectTimeout=5 -o ServerAliveInterval=5 -o ServerAliveCountMax=2"))
PAUSE_S = 2  # between two connections to a host that does not answer

lock = threading.RLock()  # guards all below, and each line written


def say(message):
    with lock:
        print(json.dumps(message), flush=True)


def log(text):
    print(text, file=sys.stderr, flush=True)


class Host:
    """One host: its agent's process, what was asked of it, and what it was last known to run."""

    def __init__(self, text, folder):
        self.target, _, address = text.partition("=")
        self.address = address or self.look_up(self.target.rpartition("@")[2])
        self.folder = folder
        self.agent = None  # the connection; None = there is none
        self.tried = False  # nobody answered; until then, requests wait for the first connection
        self.asked = {}  # id -> (request, what to do with its answer)
        self.known = None  # name -> instance; None = it has never said
        self.owner = None

    @staticmethod
    def look_up(name):
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0]
        return f"[{found[4][0]}]" if found[0] == socket.AF_INET6 else found[4][0]

    def run(self):
        """Keeps a connection. Every one begins as plimsoll would: hello, and tell me what happens."""
        while True:
            remote = shlex.join(["sh", "-c", AGENT.read_text(), "local.sh", self.folder])
            agent = subprocess.Popen([*SSH, self.target, remote], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
            for line in agent.stdout:
                try:
                    self.hear(agent, json.loads(line))
                except ValueError:
                    log(f"{self.target} says: {line.rstrip()}")
            agent.wait()
            self.lost(f"{self.target} does not answer: ssh ended with status {agent.returncode}")
            time.sleep(PAUSE_S)

    def hear(self, agent, message):
        with lock:
            if "plimsoll" in message:
                self.agent = agent
                self.write({"plimsoll": 1, "owner": self.owner})
                self.write({"id": 0, "do": "subscribe"})
                for request, _ in self.asked.values():
                    self.write(request)
                say({"event": "engine", "up": True, "text": f"{self.target} answers"})
            elif "event" in message:
                (self.known or {}).pop(message["name"], None)
                say(message)
            elif message["id"] in self.asked:
                request, done = self.asked.pop(message["id"])
                done(self.remember(request, message))

    def write(self, message):
        try:
            self.agent.stdin.write(json.dumps(message, separators=(",", ":")) + "\n")
            self.agent.stdin.flush()
        except OSError:
            pass  # the reader notices

    def lost(self, why):
        with lock:
            asked, self.asked, self.agent, self.tried = self.asked, {}, None, True
            for request, done in asked.values():
                done({"id": request["id"], "error": why})
        log(why)

    def ask(self, request, done):
        with lock:
            if self.agent or not self.tried:
                self.asked[request["id"]] = (request, done)
            if self.agent:
                self.write(request)
            elif self.tried:
                done({"id": request["id"], "error": f"{self.target} does not answer"})

    def seen_from_here(self, instance):
        """Where it is reached; its pid says nothing on this machine."""
        port = instance["address"].rpartition(":")[2]
        seen = {k: v for k, v in instance.items() if k != "pid"}
        return seen | {"address": f"{self.address}:{port}"}

    def remember(self, request, answer):
        ok = answer.get("ok")
        if ok is None:
            return answer
        if request["do"] == "list":
            self.known = {i["name"]: self.seen_from_here(i) for i in ok}
            return answer | {"ok": list(self.known.values())}
        if request["do"] == "start":
            ok = self.seen_from_here(ok)
            (self.known or {})[request["name"]] = ok
            return answer | {"ok": ok}
        (self.known or {}).pop(request["name"], None)
        return answer


def list_all(hosts, request):
    """The lists of all hosts as one. Of a host that does not answer, what it was known to run; when
    it never answered, that is nothing, and nobody can say what runs."""
    missing, found, unknown = [len(hosts)], [], []

    def done(host, answer):
        with lock:
            if "ok" not in answer and host.known is None:
                unknown.append(answer["error"])
            found.extend(answer.get("ok", (host.known or {}).values()))
            missing[0] -= 1
            if missing[0] == 0 and unknown:
                say({"id": request["id"], "error": "; ".join(unknown)})
            elif missing[0] == 0:
                say({"id": request["id"], "ok": found})

    for host in hosts:
        host.ask(request, lambda answer, host=host: done(host, answer))


def serve(hosts):
    for line in sys.stdin:
        request = json.loads(line)
        if "plimsoll" in request:
            for host in hosts:
                host.owner = request["owner"]
                threading.Thread(target=host.run, daemon=True).start()
        elif request["do"] == "subscribe":
            say({"id": request["id"], "ok": {}})
        elif request["do"] == "list":
            list_all(hosts, request)
        else:
            number = int(request["name"].rpartition("-")[2])
            request.pop("log", None)  # a path of this machine
            hosts[number % len(hosts)].ask(request, say)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="/tmp/plimsoll")
    parser.add_argument("hosts", nargs="+", metavar="HOST[=ADDRESS]")
    args = parser.parse_args()
    say({"plimsoll": 1, "name": "ssh", "can": ["subscribe"], "at-once": 32})
    serve([Host(text, args.folder) for text in args.hosts])


if __name__ == "__main__":
    main()
