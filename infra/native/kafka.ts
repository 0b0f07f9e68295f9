/** One Kafka broker and controller in one process (KRaft). */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { answers } from './probe.ts';
import {
  cleanEnvironment,
  javaOptions,
  type Place,
  prepareTemporary,
  properties,
  type ServerDeclaration,
} from './service.ts';

const run = promisify(execFile);

const JVM = ['-Xms128m', '-Xmx512m', '-XX:+UseParallelGC', '-XX:+ExitOnOutOfMemoryError', '-Djava.awt.headless=true'];

function settings({ home, ports }: Place): Readonly<Record<string, string | number | boolean>> {
  return {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${ports.kafka},CONTROLLER://127.0.0.1:${ports.controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports.kafka}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': join(home, 'kafka'),
    'auto.create.topics.enable': false,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 8,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 8,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    // After a crash the controller lets the broker in again when its last session has ended: nine seconds with no broker by default.
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
    // A killed worker's open transaction holds up every reader behind it until the broker looks for it.
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': 1_000,
    'log.cleaner.dedupe.buffer.size': 16 * 1024 * 1024,
    'num.network.threads': 3,
    'num.io.threads': 4,
    'log.segment.bytes': 256 * 1024 * 1024,
  };
}

function command(place: Place, main: string, args: readonly string[]): readonly string[] {
  return [
    ...JVM,
    ...javaOptions(place, 'kafka'),
    `-Dlog4j2.configurationFile=${join(import.meta.dirname, 'log4j2.properties')}`,
    '-cp',
    join(place.jars, 'kafka', '*'),
    main,
    ...args,
  ];
}

/** ApiVersions, version 0, no client id: the smallest request; a broker answers it once it processes requests at all. */
const API_VERSIONS = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);

function isAnswer(reply: Buffer): boolean {
  return reply.length >= 10 && reply.readInt32BE(4) === 7 && reply.readInt16BE(8) === 0;
}

export const kafka: ServerDeclaration = {
  service: 'kafka',
  ports: ['kafka', 'controller'],
  needs: [],
  async prepare(place) {
    const config = join(place.home, 'kafka.properties');
    prepareTemporary(place, 'kafka');
    mkdirSync(join(place.home, 'kafka'), { recursive: true });
    writeFileSync(config, properties(settings(place)));
    if (existsSync(join(place.home, 'kafka', 'meta.properties'))) return;
    // With "=": an id that begins with a dash would be taken for an option.
    const format = ['format', `--cluster-id=${place.secrets.clusterId}`, '--config', config, '--ignore-formatted'];
    await run(place.java, command(place, 'kafka.tools.StorageTool', format), { timeout: 60_000 });
  },
  spec(place) {
    return {
      name: 'kafka',
      command: place.java,
      args: command(place, 'kafka.Kafka', [join(place.home, 'kafka.properties')]),
      env: cleanEnvironment(),
      logFile: join(place.home, 'logs', 'kafka.log'),
      ready: () => answers(place.ports.kafka, API_VERSIONS, isAnswer),
      readyTimeoutMs: 60_000,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 20_000,
    };
  },
};
