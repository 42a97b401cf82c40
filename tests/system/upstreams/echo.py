"""A plain TCP server: greets with its pid, echoes, and says "bye" when the client has ended its
side. PORT says where to listen."""

import os
import socket
import threading


def serve(sock):
    try:
        sock.sendall(b"hello %d\n" % os.getpid())
        while data := sock.recv(65536):
            sock.sendall(data)
        sock.sendall(b"bye\n")
    except OSError:
        pass
    sock.close()


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(128)
while True:
    threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
