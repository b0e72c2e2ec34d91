"""Does with the published document what the predecessor's client did, and notes each document that it saw.

The predecessor read two keys of the document, `master` (a pair) and `slaves` (an object of pairs), connected to the
master whatever its status, and kept the replicas whose status was OK. A document on which that fails would have ended
its following for ever, so any exception here is the end.

usage: predecessor.py ZOOKEEPER PATH REPORT
       predecessor.py --publish ZOOKEEPER PATH DOCUMENT
       predecessor.py --files FILE...
       predecessor.py --lead ZOOKEEPER
       predecessor.py --get ZOOKEEPER PATH
       predecessor.py --children ZOOKEEPER PATH
       predecessor.py --own ZOOKEEPER USER PASSWORD PATH
REPORT gets one JSON line for each version of the document: master, status, the replicas that are OK, the raw text.
With --lead it queues for the lead as the predecessor's monitor did, until it is terminated. With --publish it writes a
document as the predecessor's monitor did; with --files it reads files. --get prints what a znode holds, --children the
names of those below it, a line each. --own lets nobody but that user write a znode.
"""

import json
import signal
import sys
import threading

from kazoo.client import KazooClient
from kazoo.security import make_acl, make_digest_acl

done = threading.Event()
failure = []


def connect(hosts):
    zookeeper = KazooClient(hosts=hosts, timeout=4)
    zookeeper.start(timeout=10)
    return zookeeper


def setup(data):
    properties = json.loads(data)
    host_master, status = properties["master"]
    host, port = host_master.split(":")
    int(port)
    if status not in ("OK", "KO"):
        raise ValueError("status %r" % status)
    healthy = []
    for name in properties["slaves"]:
        int(name)
        address, slave_status = properties["slaves"][name]
        if slave_status == "OK":
            healthy.append(address)
        elif slave_status != "KO":
            raise ValueError("status %r" % slave_status)
    return {"master": host_master, "status": status, "healthy": sorted(healthy), "raw": data.decode()}


def follow(zookeeper, path, report):
    def changed(data, _stat):
        try:
            if data:
                report.write(json.dumps(setup(data)) + "\n")
                report.flush()
        except Exception as error:
            failure.append("%r on %r" % (error, data))
            done.set()

    zookeeper.DataWatch(path, changed)
    done.wait()


def publish(zookeeper, path, document):
    zookeeper.ensure_path(path)
    zookeeper.set(path, document.encode())


signal.signal(signal.SIGTERM, lambda _signal, _frame: done.set())
if sys.argv[1] == "--files":
    for name in sys.argv[2:]:
        with open(name, "rb") as document:
            print(json.dumps(setup(document.read())))
elif sys.argv[1] == "--publish":
    publish(connect(sys.argv[2]), *sys.argv[3:5])
elif sys.argv[1] == "--get":
    print(connect(sys.argv[2]).get(sys.argv[3])[0].decode())
elif sys.argv[1] == "--children":
    for name in connect(sys.argv[2]).get_children(sys.argv[3]):
        print(name)
elif sys.argv[1] == "--own":
    owner = make_digest_acl(*sys.argv[3:5], all=True)
    connect(sys.argv[2]).set_acls(sys.argv[5], [owner, make_acl("world", "anyone", read=True)])
elif sys.argv[1] == "--lead":
    # An ephemeral and numbered znode in the one queue that all of its groups shared.
    connect(sys.argv[2]).create("/ZktoolsLocks/redis_monitor_lock/lock", ephemeral=True, sequence=True, makepath=True)
    print("it leads")
    done.wait()
else:
    with open(sys.argv[3], "w") as out:
        follow(connect(sys.argv[1]), sys.argv[2], out)
sys.exit("\n".join(failure) if failure else 0)
