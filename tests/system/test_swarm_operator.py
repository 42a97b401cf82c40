"""An operator's commands on a service whose engine chooses who goes: what cannot be done is refused, and the way
out is named. Nothing is answered with success that nothing follows."""

import pytest

CONFIG = """
admin: off
swarm: {host: "unix://@SOCKET@", timeout: 5s}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    health: {http: /healthz, interval: 200ms}
    swarm: {service: stack_shop, port: 8000, reach: host-port}
    scale: {min: 2, max: 6}
  beside:
    run: {command: [/bin/sh, -c, "echo here; exec sleep 600"]}
    scale: {min: 1, max: 1}
"""

CHOOSES = "plimsoll: shop: Swarm chooses which instance goes, so "
UPDATE = "; to replace all of them: docker service update --force stack_shop\n"


@pytest.fixture
def p(swarm, make):
    swarm.create("stack_shop", replicas=2)
    p = make(config=CONFIG.replace("@SOCKET@", str(swarm.socket))).start()
    p.wait_ready(2, "shop", 40)
    p.wait_ready(1, "beside", 40)
    return p


def test_what_swarm_does_not_allow_is_refused(p):
    one = p.service("shop")["instances"][0]["id"]
    for words, path, text in (
            (["restart", "shop"], "services/shop/restart", "its instances cannot be replaced one by one" + UPDATE),
            (["drain", one], f"instances/{one}/drain", "none can be drained by name" + UPDATE),
            (["protect", one], f"instances/{one}/protect", "none can be protected\n")):
        answer = p.cli(*words, check=False)
        assert (answer.returncode, answer.stdout) == (1, ""), words
        assert answer.stderr == CHOOSES + text
        code, body = p.api("POST", f"/v1/{path}", {"on": True} if words[0] == "protect" else {})
        assert code == 409 and "plimsoll: " + body["error"] + "\n" == answer.stderr
    assert not any(i["protected"] for i in p.service("shop")["instances"])
    p.cli("protect", one, "--off")
    p.cli("pause", "shop")
    p.cli("resume", "shop")
    p.cli("scale", "shop", "3")
    p.wait_ready(3, "shop", 40)
    p.cli("restart", "beside")  # whose engine lets us choose


def test_logs_are_where_swarm_keeps_them(p):
    """Among others they are not to be had, and the others' come all the same."""
    one = p.service("shop")["instances"][0]["id"]
    words = f"plimsoll: Swarm keeps what {one} writes: docker service logs stack_shop\n"
    answer = p.cli("logs", one, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (1, "", words)
    answer = p.cli("logs", "--all")
    assert answer.stderr.count("docker service logs stack_shop") == 1
    assert answer.stdout == "beside-1 | here\n"
