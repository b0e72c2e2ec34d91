// Lettuce with Sentinel, as an application uses it. `crates/trial/src/bench/sentinel_clients/process.rs` says what it
// prints.
//
// java [-Dplain=true] [-Dresp2=true] -cp LETTUCE_AND_WHAT_IT_NEEDS.jar Lettuce.java HOST:PORT,HOST:PORT,... NAME PREFIX

import io.lettuce.core.ClientOptions;
import io.lettuce.core.ReadFrom;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.masterreplica.MasterReplica;
import io.lettuce.core.masterreplica.StatefulRedisMasterReplicaConnection;
import io.lettuce.core.protocol.ProtocolVersion;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One connection that writes to the master, plain or a `MasterReplica`, and one that reads from replicas. */
public class Lettuce {
    // From one write to the next, from one read to the next, and after an error, in milliseconds.
    private static final long WRITE_PACE = 5, READ_PACE = 50, PAUSE = 50;

    /** How long one reply may take. */
    private static final Duration PATIENCE = Duration.ofSeconds(1);

    /** Which writes are followed by a question where they went. */
    private static final long ASK_EVERY = 10;

    /** Prints one event as a line; names and values, already in JSON, in turn. */
    private static synchronized void tell(String... event) {
        StringBuilder line = new StringBuilder("{\"t\":" + System.currentTimeMillis());
        for (int at = 0; at < event.length; at += 2) {
            line.append(",\"").append(event[at]).append("\":").append(event[at + 1]);
        }
        System.out.println(line.append('}'));
        System.out.flush();
    }

    private static String text(String text) {
        if (text == null) {
            return "null";
        }
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\p{Cntrl}", " ") + '"';
    }

    private static String words(RuntimeException error) {
        return text(error.getClass().getSimpleName() + ": " + error.getMessage());
    }

    private static String field(String info, String name) {
        Matcher matcher = Pattern.compile("(?m)^" + name + ":(.*?)\\r?$").matcher(info);
        return matcher.find() ? matcher.group(1) : "";
    }

    private static String server(String info) {
        return text("127.0.0.1:" + field(info, "tcp_port"));
    }

    // What is caught is all of them: a command that waits while the connection is replaced ends in a
    // CancellationException, which is none of Lettuce's own.

    /** Reads what was written first, again and again. */
    private static void read(RedisCommands<String, String> replica, String key) throws InterruptedException {
        while (true) {
            try {
                String value = replica.get(key);
                // INFO goes where reads go, too.
                String info = replica.info();
                tell("read", text(value), "server", server(info), "role", text(field(info, "role")));
                Thread.sleep(READ_PACE);
            } catch (RuntimeException error) {
                tell("read_error", words(error));
                Thread.sleep(PAUSE);
            }
        }
    }

    /** Writes one key after the other, each until it is confirmed. */
    private static void write(RedisCommands<String, String> master, String prefix) throws InterruptedException {
        long number = 0;
        while (true) {
            try {
                master.set(prefix + ':' + number, Long.toString(number));
                tell("ok", Long.toString(number));
                number += 1;
                if (number % ASK_EVERY == 0) {
                    tell("wrote_at", server(master.info()));
                }
                Thread.sleep(WRITE_PACE);
            } catch (RuntimeException error) {
                tell("error", words(error));
                Thread.sleep(PAUSE);
            }
        }
    }

    private static RedisCommands<String, String> connect(RedisClient client, RedisURI uri, ReadFrom from) {
        StatefulRedisMasterReplicaConnection<String, String> connection =
                MasterReplica.connect(client, StringCodec.UTF8, uri);
        connection.setReadFrom(from);
        return connection.sync();
    }

    public static void main(String[] words) throws InterruptedException {
        boolean plain = Boolean.getBoolean("plain");
        // A jar with all in it does not say which version of Lettuce that is: whoever starts this does.
        String said = RedisClient.class.getPackage().getImplementationVersion();
        String version = System.getProperty("lettuce.version", said);
        tell("client", text(plain ? "Lettuce" : "Lettuce, MasterReplica"), "version", text(version));
        RedisURI.Builder uri = RedisURI.builder().withSentinelMasterId(words[1]).withTimeout(PATIENCE);
        for (String address : words[0].split(",")) {
            int colon = address.lastIndexOf(':');
            uri.withSentinel(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
        }
        RedisClient client = RedisClient.create();
        if (Boolean.getBoolean("resp2")) {
            client.setOptions(ClientOptions.builder().protocolVersion(ProtocolVersion.RESP2).build());
        }
        // A plain connection asks the Sentinels whenever it connects; the other one when they tell of a change.
        RedisCommands<String, String> master = plain
                ? client.connect(uri.build()).sync()
                : connect(client, uri.build(), ReadFrom.UPSTREAM);
        RedisCommands<String, String> replica = connect(client, uri.build(), ReadFrom.REPLICA_PREFERRED);
        Thread reader = new Thread(() -> {
            try {
                read(replica, words[2] + ":0");
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
        });
        reader.setDaemon(true);
        reader.start();
        write(master, words[2]);
    }
}
