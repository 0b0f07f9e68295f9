/**
 * The one place that touches kafkajs's inside: its cluster metadata, connections, SASL and TLS, and request framing. Sluice's
 * own reader, producer and group membership stand on it (docs/adr/0003-kafka-client.md says why).
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import KafkaJsCluster from 'kafkajs/src/cluster/index.js';
import createSocketFactory from 'kafkajs/src/network/socketFactory.js';
import Encoder from 'kafkajs/src/protocol/encoder.js';
import { createErrorFromCode } from 'kafkajs/src/protocol/error.js';
import { SluiceError } from '../../engine/errors.ts';
import { type CoordinatorKind, Coordinators } from './coordinators.ts';
import { kafkaError } from './errors.ts';
import { mendKafkajs } from './mend.ts';
import { WireReader, type WireWriter } from './wire.ts';

export interface KafkaOptions {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly ssl?: { readonly caFile: string };
  readonly sasl?: { readonly mechanism: string; readonly username: string; readonly password: string };
  readonly requestTimeoutMs?: number;
}

/** The requests of kafkajs's Broker that Sluice uses as they are. */
export interface RawBroker {
  readonly nodeId: number;
  readonly connectionPool: { send(request: unknown): Promise<unknown> };
  disconnect(): Promise<void>;
  initProducerId(o: object): Promise<{ producerId: string; producerEpoch: number }>;
  addPartitionsToTxn(o: object): Promise<unknown>;
  addOffsetsToTxn(o: object): Promise<unknown>;
  txnOffsetCommit(o: object): Promise<unknown>;
  endTxn(o: object): Promise<unknown>;
  joinGroup(o: object): Promise<JoinedGroup>;
  syncGroup(o: object): Promise<{ memberAssignment: Buffer }>;
  heartbeat(o: object): Promise<unknown>;
  leaveGroup(o: object): Promise<unknown>;
  offsetCommit(o: object): Promise<unknown>;
  offsetFetch(o: object): Promise<{
    responses: { topic: string; partitions: { partition: number; offset: string; metadata: string | null }[] }[];
  }>;
  listOffsets(
    o: object,
  ): Promise<{ responses: { topic: string; partitions: { partition: number; offset: string }[] }[] }>;
}

export interface JoinedGroup {
  readonly generationId: number;
  readonly leaderId: string;
  readonly memberId: string;
  readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
}

export interface RawCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>;
  findTopicPartitionMetadata(topic: string): { partitionId: number; leader: number }[];
  findBroker(o: { nodeId: string }): Promise<RawBroker>;
  findGroupCoordinator(o: { groupId: string; coordinatorType: number }): Promise<RawBroker>;
}

/** As the protocol numbers them. https://kafka.apache.org/protocol#The_Messages_FindCoordinator */
const COORDINATOR_TYPES: Readonly<Record<CoordinatorKind, number>> = { group: 0, transaction: 1 };

/** kafkajs logs every retriable answer as an error; what matters reaches us as a thrown error anyway. */
function silentLogger(): object {
  const logger = { namespace: () => logger, error() {}, warn() {}, info() {}, debug() {}, setLogLevel() {} };
  return logger;
}

const CLOSE_DEADLINE_MS = 2_000;

function closed(): SluiceError {
  return new SluiceError('Kafka client is closed', { code: 'KAFKA_CLOSED', action: 'reconnect' });
}

/** A connected cluster: one connection per broker for fetches, one for everything else. */
export class KafkaCluster {
  readonly #raw: RawCluster;
  readonly #coordinators: Coordinators<RawBroker>;
  readonly #topics = new Set<string>();
  /** kafkajs may open a connection again for a request that was on its way: closing closes what there is. */
  readonly #sockets = new Set<Socket>();
  #connected: Promise<void> | null = null;
  #closed = false;

  constructor(options: KafkaOptions) {
    mendKafkajs();
    const timeout = options.requestTimeoutMs ?? 15_000;
    this.#raw = new KafkaJsCluster({
      logger: silentLogger(),
      socketFactory: this.#socketFactory(),
      brokers: [...options.brokers],
      ssl: options.ssl === undefined ? undefined : { ca: [readFileSync(options.ssl.caFile, 'utf8')] },
      sasl: options.sasl,
      clientId: options.clientId,
      connectionTimeout: 3_000,
      authenticationTimeout: 10_000,
      reauthenticationThreshold: 10_000,
      requestTimeout: timeout,
      enforceRequestTimeout: true,
      metadataMaxAge: 60_000,
      allowAutoTopicCreation: false,
      maxInFlightRequests: null,
      isolationLevel: 1,
      retry: { initialRetryTime: 50, retries: 6, maxRetryTime: 1_000, factor: 0.2, multiplier: 2 },
    });
    this.#coordinators = new Coordinators({
      find: async (kind, id) =>
        await this.#raw
          .findGroupCoordinator({ groupId: id, coordinatorType: COORDINATOR_TYPES[kind] })
          .catch((error: unknown) => {
            throw kafkaError(error, `find the coordinator of ${id}`);
          }),
      broker: async (nodeId) => await this.broker(nodeId),
    });
  }

  async connect(): Promise<void> {
    if (this.#closed) throw closed();
    this.#connected ??= this.#raw.connect();
    try {
      await this.#connected;
    } catch (error) {
      this.#connected = null;
      throw kafkaError(error, 'connect');
    }
  }

  /** Loads the topics' metadata once. */
  async know(...topics: readonly string[]): Promise<void> {
    await this.connect();
    const unknown = topics.filter((topic) => !this.#topics.has(topic));
    if (unknown.length === 0) return;
    try {
      await this.#raw.addMultipleTargetTopics(unknown);
    } catch (error) {
      throw kafkaError(error, `look up topics ${unknown.join(', ')}`);
    }
    for (const topic of unknown) this.#topics.add(topic);
  }

  async refresh(): Promise<void> {
    await this.connect();
    await this.#raw.refreshMetadata().catch((error: unknown) => {
      throw kafkaError(error, 'refresh metadata');
    });
  }

  async partitionCount(topic: string): Promise<number> {
    await this.know(topic);
    return this.#raw.findTopicPartitionMetadata(topic).length;
  }

  /** The node id that leads a partition. */
  async leaderId(topic: string, partition: number): Promise<number> {
    await this.know(topic);
    const found = this.#raw.findTopicPartitionMetadata(topic).find((p) => p.partitionId === partition);
    if (found === undefined || found.leader < 0) {
      await this.refresh();
      throw new SluiceError(`Kafka: no leader for ${topic}-${partition}`, {
        code: 'KAFKA_LEADER_NOT_AVAILABLE',
        action: 'retry',
      });
    }
    return found.leader;
  }

  async broker(nodeId: number): Promise<RawBroker> {
    return await this.#raw.findBroker({ nodeId: String(nodeId) }).catch((error: unknown) => {
      throw kafkaError(error, `connect to broker ${nodeId}`);
    });
  }

  async leader(topic: string, partition: number): Promise<RawBroker> {
    return await this.broker(await this.leaderId(topic, partition));
  }

  /** Puts a question to the coordinator of a group. */
  async askGroup<T>(group: string, question: (coordinator: RawBroker) => Promise<T>): Promise<T> {
    await this.connect();
    return await this.#coordinators.ask('group', group, question);
  }

  /** Puts a question to the coordinator of a transactional id. */
  async askTransaction<T>(transactionalId: string, question: (coordinator: RawBroker) => Promise<T>): Promise<T> {
    await this.connect();
    return await this.#coordinators.ask('transaction', transactionalId, question);
  }

  /** Lets requests under way end for a moment, then closes every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_DEADLINE_MS).unref());
    await Promise.race([this.#raw.disconnect().catch(() => {}), late]);
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Closes every connection at once; requests under way fail. For who only reads: the long poll of a fetch is not worth waiting for. */
  async abandon(): Promise<void> {
    this.#closed = true;
    // With an error: kafkajs does not listen to the end of a socket that was closed on our side.
    for (const socket of this.#sockets) socket.destroy(closed());
    await this.close();
  }

  #socketFactory(): (options: object) => Socket {
    const create = createSocketFactory();
    return (options) => {
      if (this.#closed) throw closed();
      const socket = create(options);
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      return socket;
    };
  }
}

/** Sends a request whose body and response Sluice encodes and decodes itself, in the non-flexible header version. */
export async function sendRaw<T>(
  broker: RawBroker,
  api: { readonly key: number; readonly version: number; readonly name: string },
  body: WireWriter,
  decode: (reader: WireReader) => T,
): Promise<T> {
  const payload = body.finish();
  try {
    const result = await broker.connectionPool.send({
      request: {
        apiKey: api.key,
        apiVersion: api.version,
        apiName: api.name,
        encode: async () => {
          // The body as it is: the library's own way in would copy it once more.
          return Object.assign(new Encoder(0), { buf: payload, offset: payload.length });
        },
      },
      response: {
        decode: async (raw: Buffer) => decode(new WireReader(raw)),
        parse: async (data: T) => data,
      },
    });
    return result as T;
  } catch (error) {
    if ((error as Error).name === 'KafkaJSConnectionClosedError') await broker.disconnect().catch(() => {});
    throw kafkaError(error, api.name);
  }
}

/** Throws the broker's error, if the code is one. */
export function failOn(errorCode: number, doing: string): void {
  if (errorCode !== 0) throw kafkaError(createErrorFromCode(errorCode), doing);
}
