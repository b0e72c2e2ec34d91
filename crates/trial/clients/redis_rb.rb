# redis-rb with Sentinel, as an application uses it. `crates/trial/src/bench/sentinel_clients/process.rs` says what it prints.
#
# ruby redis_rb.rb HOST:PORT,HOST:PORT,... NAME PREFIX

require "json"
require "redis"

# From one write to the next, from one read to the next, and after an error, in seconds.
WRITE_PACE = 0.005
READ_PACE = 0.05
PAUSE = 0.05

# How long one reply may take.
PATIENCE = 1.0

# Which writes are followed by a question where they went.
ASK_EVERY = 10

$stdout.sync = true
Thread.abort_on_exception = true

# Prints one event as a line.
def tell(**event)
  now = Process.clock_gettime(Process::CLOCK_REALTIME, :float_millisecond)
  $stdout.write("#{JSON.generate({ t: now, **event })}\n")
end

# Which server answers, and its role.
def where(connection)
  info = connection.info
  { server: "127.0.0.1:#{info["tcp_port"]}", role: info["role"] }
end

# Reads what was written first, again and again.
def read(replica, key)
  loop do
    tell(read: replica.get(key), **where(replica))
    sleep(READ_PACE)
  rescue Redis::BaseError => error
    tell(read_error: "#{error.class}: #{error.message}")
    sleep(PAUSE)
  end
end

# Writes one key after the other, each until it is confirmed.
def write(master, prefix)
  number = 0
  loop do
    master.set("#{prefix}:#{number}", number)
    tell(ok: number)
    number += 1
    tell(wrote_at: where(master)[:server]) if (number % ASK_EVERY).zero?
    sleep(WRITE_PACE)
  rescue Redis::BaseError => error
    tell(error: "#{error.class}: #{error.message}")
    sleep(PAUSE)
  end
end

addresses, name, prefix = ARGV
tell(client: "redis-rb", version: Redis::VERSION)
sentinels = addresses.split(",").map do |address|
  host, _, port = address.rpartition(":")
  { host: host, port: port.to_i }
end
# The group's name stands where a host would.
common = { url: "redis://#{name}", sentinels: sentinels, timeout: PATIENCE }
Thread.new { read(Redis.new(**common, role: :slave), "#{prefix}:0") }
write(Redis.new(**common, role: :master), prefix)
