"""redis-py with Sentinel, as an application uses it. `crates/trial/src/bench/sentinel_clients/process.rs` says what it prints.

python3 redis_py.py HOST:PORT,HOST:PORT,... NAME PREFIX
"""

import json
import sys
import threading
import time

import redis
from redis.sentinel import Sentinel

# From one write to the next, from one read to the next, and after an error.
WRITE_PACE, READ_PACE, PAUSE = 0.005, 0.05, 0.05

# How long one reply may take.
PATIENCE = 1.0

# Which writes are followed by a question where they went.
ASK_EVERY = 10

lock = threading.Lock()


def tell(**event):
    """Prints one event as a line."""
    line = json.dumps({"t": time.time() * 1000, **event})
    with lock:
        print(line, flush=True)


def where(connection):
    """Says which server answers, and its role."""
    info = connection.info()
    return {"server": f"127.0.0.1:{info['tcp_port']}", "role": info["role"]}


def read(replica, key):
    """Reads what was written first, again and again."""
    while True:
        try:
            value = replica.get(key)
            tell(read=value.decode() if value else None, **where(replica))
            time.sleep(READ_PACE)
        except redis.RedisError as error:
            tell(read_error=f"{type(error).__name__}: {error}")
            time.sleep(PAUSE)


def write(master, prefix):
    """Writes one key after the other, each until it is confirmed."""
    number = 0
    while True:
        try:
            master.set(f"{prefix}:{number}", number)
            tell(ok=number)
            number += 1
            if number % ASK_EVERY == 0:
                tell(wrote_at=where(master)["server"])
            time.sleep(WRITE_PACE)
        except redis.RedisError as error:
            tell(error=f"{type(error).__name__}: {error}")
            time.sleep(PAUSE)


def main():
    addresses, name, prefix = sys.argv[1:]
    tell(client="redis-py", version=redis.__version__)
    pairs = (address.rsplit(":", 1) for address in addresses.split(","))
    sentinels = [(host, int(port)) for host, port in pairs]
    sentinel = Sentinel(sentinels, socket_timeout=PATIENCE)
    replica = sentinel.slave_for(name, socket_timeout=PATIENCE)
    threading.Thread(target=read, args=(replica, f"{prefix}:0"), daemon=True).start()
    write(sentinel.master_for(name, socket_timeout=PATIENCE), prefix)


main()
