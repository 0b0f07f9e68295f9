/** Kafka Connect, distributed mode with exactly-once sources, with the Debezium and Apicurio plugins. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { httpOk } from './probe.ts';
import {
  cleanEnvironment,
  javaOptions,
  type Place,
  prepareTemporary,
  properties,
  type ServerDeclaration,
} from './service.ts';

function settings({ jars, ports }: Place): Readonly<Record<string, string | number | boolean>> {
  return {
    'bootstrap.servers': `127.0.0.1:${ports.kafka}`,
    'group.id': 'sluice-connect',
    listeners: `http://127.0.0.1:${ports.connect}`,
    'rest.advertised.host.name': '127.0.0.1',
    'rest.advertised.port': ports.connect,
    'plugin.path': join(jars, 'plugins'),
    'exactly.once.source.support': 'enabled',
    // By their manifests: looking into every class of every jar takes most of the start.
    'plugin.discovery': 'service_load',
    'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'config.storage.topic': 'sluice.connect.configs',
    'config.storage.replication.factor': 1,
    'offset.storage.topic': 'sluice.connect.offsets',
    'offset.storage.replication.factor': 1,
    'offset.storage.partitions': 1,
    'status.storage.topic': 'sluice.connect.status',
    'status.storage.replication.factor': 1,
    'status.storage.partitions': 1,
    // One worker: there is nobody whose return is worth waiting for.
    'scheduled.rebalance.max.delay.ms': 0,
    // A Connect that starts again waits for the end of the session of the one that was killed: about as long as it takes to start.
    'session.timeout.ms': 10_000,
    // Also for how long the broker may be away before all tasks are taken for lost and stopped: longer than its own restart.
    'heartbeat.interval.ms': 5_000,
    // A task that waits for the broker cannot stop before it is back. Given up after five seconds, as by default, it would go on in the
    // background, with its connection to the slot, while its successor starts.
    'task.shutdown.graceful.timeout.ms': 30_000,
    // Its own topics are quiet: each of its readers would ask the broker twice a second. What comes is answered at once.
    'fetch.max.wait.ms': 5_000,
  };
}

export const connect: ServerDeclaration = {
  service: 'connect',
  ports: ['connect'],
  needs: ['kafka'],
  async prepare(place) {
    prepareTemporary(place, 'connect');
    writeFileSync(join(place.home, 'connect.properties'), properties(settings(place)));
  },
  spec(place) {
    return {
      name: 'connect',
      command: place.java,
      args: [
        '-Xms384m',
        '-Xmx512m',
        // Rows on their way die young. By default the young generation grows late, and a fifth of the CPU went into collecting it.
        '-Xmn288m',
        '-XX:+UseParallelGC',
        '-XX:+ExitOnOutOfMemoryError',
        ...javaOptions(place, 'connect'),
        `-Dlog4j2.configurationFile=${join(import.meta.dirname, 'log4j2.properties')}`,
        '-cp',
        join(place.jars, 'kafka', '*'),
        'org.apache.kafka.connect.cli.ConnectDistributed',
        join(place.home, 'connect.properties'),
      ],
      env: cleanEnvironment(),
      logFile: join(place.home, 'logs', 'connect.log'),
      ready: () => httpOk(`http://127.0.0.1:${place.ports.connect}/health`),
      readyTimeoutMs: 120_000,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 10_000,
    };
  },
};
