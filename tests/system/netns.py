"""Machines for tests: network namespaces on a bridge of their own. The test itself is on the bridge, too.

Every machine has the file system and the processes of this one, so an engine that is reached over the
file system (a Unix socket, a directory) is reached also by a machine that is cut off from the network.
"""

import contextlib
import itertools
import os
import pathlib
import random
import re
import shutil
import subprocess

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
_names = itertools.count(1)


def run(*argv, check=True):
    return subprocess.run([str(a) for a in argv], check=check, capture_output=True, text=True,
                          env=dict(os.environ, PATH=PATH))


def why_not():
    """Why there can be no machines here; None when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "iptables"):
        if not shutil.which(program, path=PATH):
            return f"{program} is not installed"
    name = f"plimtry{os.getpid()}"
    tried = run("ip", "netns", "add", name, check=False)
    if tried.returncode != 0:
        return f"no network namespace can be made: {tried.stderr.strip()}"
    with contextlib.suppress(subprocess.CalledProcessError):
        run("ip", "netns", "exec", name, "iptables", "-L", "-n")
        run("ip", "netns", "del", name)
        return None
    run("ip", "netns", "del", name, check=False)
    return "iptables does not work in a network namespace"


def sweep():
    """Takes away what tests that were killed have left."""
    for line in run("ip", "netns", "list").stdout.splitlines():
        found = re.match(r"(pl(\d+)n\d+)(m\d+|sw)\b", line)
        if found and not pathlib.Path(f"/proc/{found[2]}").exists():
            run("ip", "link", "del", found[1], check=False)
            run("ip", "netns", "del", found[0], check=False)


class Machine:
    def __init__(self, network, number):
        self.name = f"{network.name}m{number}"
        self.address = f"{network.prefix}.{number}"
        self.exec = ["ip", "netns", "exec", self.name]
        run("ip", "netns", "add", self.name)
        network.plug(number, "eth0", self.name)
        run(*self.exec, "ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        run(*self.exec, "ip", "link", "set", "eth0", "up")
        run(*self.exec, "ip", "link", "set", "lo", "up")

    def cut(self, *ports):
        """Nothing goes to these TCP ports any more, or comes from them, on this machine or another."""
        for port in ports:
            for chain in ("OUTPUT", "INPUT"):
                for end in ("--dport", "--sport"):
                    run(*self.exec, "iptables", "-A", chain, "-p", "tcp", end, port, "-j", "DROP")

    def heal(self):
        run(*self.exec, "iptables", "-F")

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)


class Network:
    """Machines 1..n at self.machines[0..n-1], and this side at self.address. The bridge between them
    lies in a namespace of its own, where the filters of this machine do not reach."""

    def __init__(self, count):
        sweep()
        self.name = f"pl{os.getpid()}n{next(_names)}"
        self.switch = f"{self.name}sw"
        self.machines = []
        run("ip", "netns", "add", self.switch)
        try:
            self.in_switch = ["ip", "netns", "exec", self.switch]
            run(*self.in_switch, "ip", "link", "add", "br0", "type", "bridge")
            run(*self.in_switch, "ip", "link", "set", "br0", "up")
            self.prefix = self.free_prefix()
            self.address = f"{self.prefix}.254"
            self.plug(0, self.name, None)
            run("ip", "addr", "add", f"{self.address}/24", "dev", self.name)
            run("ip", "link", "set", self.name, "up")
            for number in range(1, count + 1):
                self.machines.append(Machine(self, number))
        except BaseException:
            self.close()
            raise

    def plug(self, number, device, namespace):
        """A cable from port `number` to a device in a namespace (None = here)."""
        there = ["netns", namespace] if namespace else []
        run("ip", "link", "add", device, *there, "type", "veth", "peer", "name", f"port{number}",
            "netns", self.switch)
        run(*self.in_switch, "ip", "link", "set", f"port{number}", "master", "br0", "up")

    @staticmethod
    def free_prefix():
        taken = run("ip", "-4", "-o", "addr").stdout + run("ip", "-4", "route").stdout
        free = [f"10.214.{n}" for n in range(1, 250) if f"10.214.{n}." not in taken]
        return random.choice(free)

    def close(self):
        for machine in self.machines:
            machine.remove()
        run("ip", "link", "del", self.name, check=False)
        run("ip", "netns", "del", self.switch, check=False)
