#!/usr/bin/env python3
"""A plugin for tests: runs a command as processes of this machine, and misbehaves when told to.

    fleet_plugin.py DIRECTORY [ADDRESS]

DIRECTORY is the "engine": an instance is a folder in it, made with mkdir, so that several plugins
(of several controllers) may share one, and a name starts once. Every request that changes something
is a line in DIRECTORY/journal: {"do", "name", "token", "plugin", "took": did it change anything}. The
names of what was asked for too long ago are in DIRECTORY/refused.

What DIRECTORY/faults says (a JSON object, read at each request) goes wrong:
  twice   [do...]  the answer is written twice           lose   [do...]  it is done, but never answered
  hang    [do...]  neither done nor answered             refuse {do: text}
  rubbish [do...]  a line of rubbish before the answer   die    [do...]  done, half an answer, and dead
  foreign [do...]  an answer to a request nobody asked   huge   [do...]  a line of over 1 MiB before it
  down    text     the engine is away: every request is refused
  slow    seconds  every start takes as long
  garble  [do...]  done, and answered with what cannot be read: an instance whose address has a name
  rename  [do...]  done, and answered with another name
`config` of a service: command (run by a shell, with PORT, {port}), port (+ number).
"""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

ENGINE = pathlib.Path(sys.argv[1])
HOST = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
lock = threading.Lock()


def say(message):
    with lock:
        print(json.dumps(message), flush=True)


def faults():
    try:
        return json.loads((ENGINE / "faults").read_text())
    except (OSError, ValueError):
        return {}


def journal(request, took):
    line = {k: request.get(k) for k in ("do", "name", "token")} | {"plugin": os.getpid(), "took": took}
    with open(ENGINE / "journal", "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.write(json.dumps(line) + "\n")


def started_at(pid):
    """Tells this process from a later one with the same number; None when there is none."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def read(folder):
    try:
        facts = json.loads((folder / "facts").read_text())
    except (OSError, ValueError):
        return None
    return facts if started_at(facts["pid"]) == facts["born"] else None


def shown(folder):
    facts = read(folder)
    if not facts:
        return None
    keys = ("name", "address", "template", "shape", "drain", "pid")
    return {k: facts[k] for k in keys if k in facts}


def write(folder, facts):
    (folder / "facts.new").write_text(json.dumps(facts))
    (folder / "facts.new").rename(folder / "facts")


def spawn(request):
    config = request["config"]
    port = int(config.get("port", 20000)) + request["number"]
    env = dict(os.environ, PORT=str(port), INSTANCE=request["name"])
    command = config["command"].replace("{port}", str(port))
    log = open(request["log"], "ab") if request.get("log") else subprocess.DEVNULL
    child = subprocess.Popen(command, shell=True, env=env, stdin=subprocess.DEVNULL, stdout=log,
                             stderr=log, start_new_session=True)
    facts = {k: request[k] for k in ("name", "template", "shape", "drain")}
    facts |= {"pid": child.pid, "born": started_at(child.pid), "size": request.get("size")}
    if request["serves"] or "port" in config:
        facts["address"] = f"{HOST}:{port}"
    threading.Thread(target=watch, args=(ENGINE / request["name"], child), daemon=True).start()
    return facts


def watch(folder, child=None):
    """Until it has ended; whose child it is not is looked at now and then."""
    while child is None and read(folder):
        time.sleep(0.05)
    status = child.wait() if child else None
    how = {"status": status} if status is not None and status >= 0 else {}
    if status is not None and status < 0:
        how = {"text": f"killed by signal {-status}"}
    say({"event": "exited", "name": folder.name} | how)


def subscribe(request):
    for folder in ENGINE.iterdir():
        if folder.is_dir() and read(folder):
            threading.Thread(target=watch, args=(folder,), daemon=True).start()
    return {}


def start(request):
    folder = ENGINE / request["name"]
    with open(ENGINE / "lock", "w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not (there := read(folder)):
            if folder.exists():
                raise RuntimeError(f"{request['name']} has been and gone")
            folder.mkdir()
            write(folder, spawn(request))
        journal(request, not there)
    time.sleep(faults().get("slow", 0))
    return shown(folder) or {"name": request["name"]}


def stop(request):
    folder = ENGINE / request["name"]
    facts = read(folder)
    journal(request, bool(facts))
    deadline = time.monotonic() + request["grace"]
    how = signal.SIGTERM
    while facts and read(folder):
        try:
            os.killpg(facts["pid"], how)
        except ProcessLookupError:
            break
        while read(folder) and (time.monotonic() < deadline or how == signal.SIGKILL):
            time.sleep(0.02)
        how = signal.SIGKILL
    return {}


def resize(request):
    folder = ENGINE / request["name"]
    facts = read(folder)
    if not facts:
        raise RuntimeError(f"no such instance: {request['name']}")
    write(folder, facts | {"shape": request["shape"], "size": request["size"]})
    journal(request, True)
    return {}


def list_all(request):
    if ENGINE.joinpath("faults").exists() and faults().get("down"):
        raise RuntimeError(faults()["down"])
    found = (shown(p) for p in ENGINE.iterdir() if p.is_dir())
    return [f for f in found if f]


DO = {"start": start, "stop": stop, "resize": resize, "list": list_all, "subscribe": subscribe}


def garbled(ok):
    if isinstance(ok, list):
        return [garbled(i) for i in ok]
    return (ok or {}) | {"address": "localhost:80"}


def answer(request):
    what, wrong = request["do"], faults()

    def hit(kind):
        return what in wrong.get(kind, ())

    if hit("hang"):
        return
    message = {"id": request["id"]}
    try:
        if time.time() * 1000 >= request.get("until", float("inf")):
            with open(ENGINE / "refused", "a") as f:
                f.write(request["name"] + "\n")
            raise RuntimeError("asked for too long ago")
        if wrong.get("down") or what in wrong.get("refuse", {}):
            raise RuntimeError(wrong.get("down") or wrong["refuse"][what])
        message["ok"] = DO[what](request)
    except (RuntimeError, OSError, KeyError, ValueError) as e:
        message["error"] = str(e)
    if hit("lose"):
        return
    if hit("garble"):
        message["ok"] = garbled(message.get("ok"))
    if hit("rename"):
        message["ok"] = (message.get("ok") or {}) | {"name": "other"}
    if hit("die"):
        sys.stdout.write(json.dumps(message)[:9])
        sys.stdout.flush()
        os._exit(3)
    if hit("rubbish"):
        with lock:
            print("DEBUG: now answering", flush=True)
    if hit("huge"):
        with lock:
            print("x" * (1 << 20 | 1 << 12), flush=True)
    if hit("foreign"):
        say({"id": 1000000 + request["id"], "ok": {}})
    say(message)
    if hit("twice"):
        say(message)


def main():
    ENGINE.mkdir(parents=True, exist_ok=True)
    say({"plimsoll": 1, "name": "fleet", "can": ["resize", "subscribe"], "at-once": 64})
    for line in sys.stdin:
        request = json.loads(line)
        if "do" in request:
            threading.Thread(target=answer, args=(request,), daemon=True).start()


if __name__ == "__main__":
    main()
