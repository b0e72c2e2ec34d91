// node-redis with Sentinel, as an application uses it: node node_redis.js HOST:PORT,HOST:PORT,... NAME PREFIX
'use strict';

const { createSentinel } = require('redis');
const { read, settings, tell, words, write } = require('./tell.js');

const main = async () => {
  const { sentinels, name, prefix } = settings();
  tell({ client: 'node-redis', version: require('redis/package.json').version });
  const client = createSentinel({ name, sentinelRootNodes: sentinels, replicaPoolSize: 1 });
  client.on('error', (error) => tell({ noted: words(error) }));
  await client.connect();
  // With replicas in the pool, what only reads goes there; what is to ask the master says so.
  const info_of_master = () => client.use((master) => master.info());
  write(prefix, (key, value) => client.set(key, value), info_of_master);
  read(prefix, (key) => client.get(key), () => client.info());
};

main();
