// What the drivers of Node's clients have in common: `crates/trial/src/bench/sentinel_clients/process.rs` says what is
// printed. It knows no client.
'use strict';

const fs = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');

// From one write to the next, from one read to the next, and after an error, in milliseconds.
const WRITE_PACE = 5;
const READ_PACE = 50;
const PAUSE = 50;

// Which writes are followed by a question where they went.
const ASK_EVERY = 10;

const now = () => performance.timeOrigin + performance.now();

/** Prints one event as a line. */
const tell = (event) => fs.writeSync(1, `${JSON.stringify({ t: now(), ...event })}\n`);

const words = (error) => `${error.name}: ${error.message}`;

/** Which server says this of itself, and its role. */
const where = (info) => ({
  server: `127.0.0.1:${/^tcp_port:(\d+)/m.exec(info)[1]}`,
  role: /^role:(\w+)/m.exec(info)[1],
});

/** What the command line says. */
const settings = () => {
  const [addresses, name, prefix] = process.argv.slice(2);
  const sentinels = addresses.split(',').map((address) => {
    const colon = address.lastIndexOf(':');
    return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  });
  return { sentinels, name, prefix };
};

/** Writes one key after the other, each until it is confirmed. */
const write = async (prefix, set, info) => {
  for (let number = 0; ; ) {
    try {
      await set(`${prefix}:${number}`, String(number));
      tell({ ok: number });
      number += 1;
      if (number % ASK_EVERY === 0) {
        tell({ wrote_at: where(await info()).server });
      }
      await sleep(WRITE_PACE);
    } catch (error) {
      tell({ error: words(error) });
      await sleep(PAUSE);
    }
  }
};

/** Reads what was written first, again and again. */
const read = async (prefix, get, info) => {
  for (;;) {
    try {
      const value = await get(`${prefix}:0`);
      tell({ read: value, ...where(await info()) });
      await sleep(READ_PACE);
    } catch (error) {
      tell({ read_error: words(error) });
      await sleep(PAUSE);
    }
  }
};

module.exports = { read, settings, tell, words, write };
