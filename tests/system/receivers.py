"""Who is told of alerts: an HTTP server that keeps what it is sent, and a real Alertmanager."""

import http.server
import json
import threading
import urllib.request

from plimsoll import free_port
from servers import Server


class Webhook:
    """Keeps each message; `status` is what it answers, and while `open` is not set it lets wait."""

    def __init__(self):
        self.status, self.messages, self.refused = 200, [], 0
        self.open = threading.Event()
        self.open.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.open.wait(60)
                if outer.status == 200:
                    outer.messages.append((self.path, dict(self.headers), json.loads(body)))
                else:
                    outer.refused += 1
                try:
                    self.send_response(outer.status)
                    answer = b"ok" if outer.status == 200 else b"not today"
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def alerts(self, kind=None):
        """(kind, service, what, status) of all that came, in order."""
        return [(a["kind"], a["service"], a["what"], a["status"])
                for _, _, m in self.messages for a in m["alerts"] if kind in (None, a["kind"])]

    def stop(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()


class Alertmanager(Server):
    def __init__(self, directory):
        super().__init__(directory)
        self.port = free_port()
        (self.directory / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")

    def start(self):
        self.spawn(["prometheus-alertmanager", f"--config.file={self.directory}/am.yml",
                    f"--storage.path={self.directory}/data", "--cluster.listen-address=",
                    f"--web.listen-address=127.0.0.1:{self.port}"])
        self.wait_up(lambda: urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).status == 200)
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def alerts(self):
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as r:
            return json.load(r)
