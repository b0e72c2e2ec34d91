"""Writes unique keys to the published master and remembers what was acknowledged.

It follows the document as the predecessor's client did: by a watch on the znode, with kazoo. It shares no code with
the project. Each key is sent once; only a reply that says "not executed" makes it send the same key again.

usage: writer.py ZOOKEEPER PATH PREFIX REPORT
REPORT gets one line for each key: a(cknowledged) or u(nknown), the key's number, the monotonic time in seconds.
"""

import json
import signal
import socket
import sys
import threading
import time

from kazoo.client import KazooClient

NOT_EXECUTED = (b"-READONLY", b"-NOREPLICAS", b"-LOADING", b"-MASTERDOWN", b"-BUSY")
REPLY_LIMIT = 0.2

hosts, path, prefix, report_path = sys.argv[1:5]
changed = threading.Condition()
published = None
ending = False


def end(_signal, _frame):
    global ending
    ending = True


def follow(data, _stat):
    global published
    with changed:
        if data:
            master, status = json.loads(data)["master"]
            published = master if status == "OK" else None
        changed.notify_all()


def connect(master):
    host, port = master.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=REPLY_LIMIT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection, number):
    """The first line of the reply to SET; an exception means that the outcome is unknown."""
    key = b"%s:%d" % (prefix.encode(), number)
    value = b"%d" % number
    connection.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(value), value))
    reply = b""
    while not reply.endswith(b"\r\n"):
        part = connection.recv(256)
        if not part:
            raise ConnectionError("closed")
        reply += part
    return reply


def write_all(report):
    number, connection, connected_to = 0, None, None
    while not ending:
        with changed:
            master = published
            if master is None:
                changed.wait(0.05)
                continue
        if connection is None or connected_to != master:
            if connection is not None:
                connection.close()
            try:
                connection, connected_to = connect(master), master
            except OSError:
                connection = None
                time.sleep(0.001)
                continue
        try:
            reply = ask(connection, number)
        except OSError:
            report.write("u %d %.6f\n" % (number, time.monotonic()))
            number, connection = number + 1, None
            continue
        if reply.startswith(b"+OK"):
            report.write("a %d %.6f\n" % (number, time.monotonic()))
            number += 1
            if number % 64 == 0:
                report.flush()
        elif reply.startswith(NOT_EXECUTED):
            time.sleep(0.0005)
        else:
            raise SystemExit("unexpected reply: %r" % reply)


signal.signal(signal.SIGTERM, end)
zookeeper = KazooClient(hosts=hosts, timeout=4)
zookeeper.start(timeout=10)
zookeeper.DataWatch(path, follow)
with open(report_path, "w") as report:
    write_all(report)
