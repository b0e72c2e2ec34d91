// ioredis with Sentinel, as an application uses it: node ioredis.js HOST:PORT,HOST:PORT,... NAME PREFIX
'use strict';

const Redis = require('ioredis');
const { read, settings, tell, words, write } = require('./tell.js');

const { sentinels, name, prefix } = settings();
tell({ client: 'ioredis', version: require('ioredis/package.json').version });

const master = new Redis({ sentinels, name });
const replica = new Redis({ sentinels, name, role: 'slave' });
// Without a listener it prints what it has already begun to mend.
master.on('error', (error) => tell({ noted: words(error) }));
replica.on('error', (error) => tell({ noted: words(error) }));

write(prefix, (key, value) => master.set(key, value), () => master.info());
read(prefix, (key) => replica.get(key), () => replica.info());
