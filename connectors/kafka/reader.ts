/**
 * Reads partitions with read_committed: one fetch loop per leading broker, one queue per partition. Unlike a consumer
 * it is told where to start, shows control records as progress of the offset, and stops fetching a partition that is not being read.
 */
import { SluiceError } from '../../engine/errors.ts';
import type { FetchedRun, LogReader, PartitionStream, ReaderOptions } from '../../engine/log.ts';
import { failOn, type KafkaCluster, sendRaw } from './cluster.ts';
import { isKafka, kafkaError } from './errors.ts';
import { type AbortedTransaction, decodeRecordSet } from './record-set.ts';
import { type WireReader, WireWriter } from './wire.ts';

/** https://kafka.apache.org/protocol#The_Messages_Fetch */
const FETCH = { key: 1, version: 11, name: 'Fetch' } as const;
const READ_COMMITTED = 1;
const MAX_BYTES_PER_PARTITION = 1024 * 1024;
const MAX_BYTES = 16 * 1024 * 1024;
const RETRY_PAUSE_MS = 50;
/** How long a fetch waits where the one before has brought nothing. A partition that is opened meanwhile waits too. */
const QUIET_WAIT_MS = 1_000;
/** How long a fetch may wait at the broker while a partition that has more is not in it. */
const HELD_BACK_WAIT_MS = 20;
/** How long a partition may fail to be fetched before its reader is told. */
const GIVE_UP_MS = 30_000;

class Stream implements PartitionStream {
  readonly topic: string;
  readonly partition: number;
  readonly #closed: (stream: Stream) => void;
  readonly #wanted: () => void;
  offset: bigint;
  highWatermark = 0n;
  /** The last stable offset as the last fetch saw it; null before the first. */
  stable: bigint | null = null;
  bufferedBytes = 0;
  fetching = false;
  failingSince = 0;
  #queue: FetchedRun[] = [];
  #error: SluiceError | null = null;
  #waiter: (() => void) | null = null;
  #woken = false;

  constructor(
    at: { topic: string; partition: number; from: bigint },
    closed: (stream: Stream) => void,
    wanted: () => void,
  ) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.offset = at.from;
    this.#closed = closed;
    this.#wanted = wanted;
  }

  async next(waitMs: number): Promise<FetchedRun | null> {
    if (this.#queue.length === 0 && this.#error === null && !this.#woken && waitMs > 0) await this.#wait(waitMs);
    this.#woken = false;
    if (this.#error !== null) throw this.#error;
    const run = this.#take();
    if (run !== null) this.#wanted();
    return run;
  }

  wake(): void {
    this.#woken = true;
    this.#waiter?.();
  }

  close(): void {
    this.#closed(this);
    this.wake();
  }

  deliver(run: FetchedRun): void {
    this.offset = run.next;
    this.bufferedBytes += run.bytes;
    this.#queue.push(run);
    this.#waiter?.();
  }

  fail(error: SluiceError): void {
    this.#error = error;
    this.#waiter?.();
  }

  get answered(): boolean {
    return this.stable !== null;
  }

  /** Whether more is there already: then there is nothing to gather for. */
  get isBehind(): boolean {
    return this.stable === null || this.offset < this.stable;
  }

  get failed(): boolean {
    return this.#error !== null;
  }

  /** All that is buffered, as one run. */
  #take(): FetchedRun | null {
    const runs = this.#queue;
    if (runs.length === 0) return null;
    this.#queue = [];
    this.bufferedBytes = 0;
    if (runs.length === 1) return runs[0]!;
    return {
      records: runs.flatMap((run) => run.records),
      from: runs[0]!.from,
      next: runs.at(-1)!.next,
      bytes: runs.reduce((sum, run) => sum + run.bytes, 0),
    };
  }

  async #wait(waitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#waiter = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#waiter = null;
  }
}

interface FetchedPartition {
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: bigint;
  readonly lastStable: bigint;
  readonly aborted: readonly AbortedTransaction[];
  readonly records: Buffer;
}

interface FetchedTopic {
  readonly topic: string;
  readonly partitions: readonly FetchedPartition[];
}

export class KafkaReader implements LogReader {
  readonly #cluster: KafkaCluster;
  readonly #options: ReaderOptions;
  readonly #streams = new Set<Stream>();
  /** Brokers with a fetch under way. */
  readonly #asked = new Set<number>();
  /** Brokers whose last answer was empty. */
  readonly #quiet = new Set<number>();
  #closed = false;
  #scheduled = false;
  readonly #inFlight = new Set<Promise<void>>();

  /** The reader owns the cluster (long polls keep its connections busy) and closes it without waiting for their answers. */
  constructor(cluster: KafkaCluster, options: ReaderOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  open(topic: string, partition: number, from: bigint): PartitionStream {
    const stream = new Stream(
      { topic, partition, from },
      (closed) => this.#streams.delete(closed),
      () => this.#schedule(),
    );
    this.#streams.add(stream);
    this.#schedule();
    return stream;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stream of this.#streams) stream.close();
    await this.#cluster.abandon();
    await Promise.allSettled([...this.#inFlight]);
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const round = this.#round().catch(() => {});
      this.#inFlight.add(round);
      void round.finally(() => this.#inFlight.delete(round));
    });
  }

  /**
   * Sends one fetch to each broker that leads a hungry partition and is not being asked already. All hungry partitions of a
   * broker go into one request: a broker answers a connection's requests one after the other, so separate long polls would wait for each other.
   */
  async #round(): Promise<void> {
    const byLeader = new Map<number, Stream[]>();
    for (const stream of this.#hungry()) {
      try {
        const leader = await this.#cluster.leaderId(stream.topic, stream.partition);
        const group = byLeader.get(leader);
        if (group === undefined) byLeader.set(leader, [stream]);
        else group.push(stream);
      } catch (error) {
        this.#failed([stream], error);
      }
    }
    await Promise.all([...byLeader].map(async ([leader, streams]) => await this.#fetch(leader, streams)));
  }

  #hungry(): Stream[] {
    const { maxBufferedBytes } = this.#options;
    return [...this.#streams].filter((s) => !s.fetching && !s.failed && s.bufferedBytes < maxBufferedBytes);
  }

  async #fetch(leader: number, wanted: readonly Stream[]): Promise<void> {
    if (this.#asked.has(leader)) return; // the answer to that request starts the next round
    const streams = wanted.filter((stream) => !stream.fetching);
    if (streams.length === 0) return;
    this.#asked.add(leader);
    for (const stream of streams) stream.fetching = true;
    try {
      const broker = await this.#cluster.broker(leader);
      const topics = await sendRaw(broker, FETCH, this.#request(streams, this.#quiet.has(leader)), decodeResponse);
      this.#deliver(streams, topics);
      if (isEmpty(topics)) this.#quiet.add(leader);
      else this.#quiet.delete(leader);
      for (const stream of streams) if (stream.failingSince === 0) stream.fetching = false;
    } catch (error) {
      this.#failed(streams, error);
    } finally {
      this.#asked.delete(leader);
      this.#schedule();
    }
  }

  /**
   * Gathers for as long as something comes. Where nothing does, the first byte is waited for and not gathered: polling at the pace of
   * gathering would cost the broker more than anything else that an idle pipeline does, and add its wait to a record that comes alone.
   *
   * A partition whose buffer is full is not asked for, but will be as soon as it is read: a long poll for those that have nothing
   * new would let it wait for as long as that takes.
   */
  #waitMs(asked: readonly Stream[], quiet: boolean): number {
    const { maxWaitMs } = this.#options;
    const heldBack = [...this.#streams].some((stream) => stream.isBehind && !asked.includes(stream));
    if (heldBack) return Math.min(maxWaitMs, HELD_BACK_WAIT_MS);
    return quiet ? Math.max(QUIET_WAIT_MS, maxWaitMs) : maxWaitMs;
  }

  #request(streams: readonly Stream[], quiet: boolean): WireWriter {
    const byTopic = Map.groupBy(streams, (stream) => stream.topic);
    return new WireWriter()
      .int32(-1)
      .int32(this.#waitMs(streams, quiet))
      .int32(quiet || streams.some((stream) => stream.isBehind) ? 1 : this.#options.minBytes)
      .int32(MAX_BYTES)
      .int8(READ_COMMITTED)
      .int32(0)
      .int32(-1)
      .array([...byTopic], (writer, [topic, of]) => {
        writer.string(topic).array(of, (w, stream) => {
          w.int32(stream.partition).int32(-1).int64(stream.offset).int64(-1n).int32(MAX_BYTES_PER_PARTITION);
        });
      })
      .int32(0)
      .string('');
  }

  #deliver(streams: readonly Stream[], topics: readonly FetchedTopic[]): void {
    for (const { topic, partitions } of topics) {
      for (const fetched of partitions) {
        const stream = streams.find((s) => s.topic === topic && s.partition === fetched.partition);
        if (stream === undefined || !this.#streams.has(stream)) continue;
        if (fetched.errorCode !== 0) {
          this.#failedPartition(stream, fetched.errorCode);
          continue;
        }
        stream.failingSince = 0;
        stream.highWatermark = fetched.highWatermark;
        stream.stable = fetched.lastStable;
        if (fetched.records.length === 0) continue;
        const { records, next } = decodeRecordSet(fetched.records, stream.offset, fetched.aborted);
        if (next > stream.offset) {
          stream.deliver({ records, from: stream.offset, next, bytes: fetched.records.length });
        }
      }
    }
  }

  #failedPartition(stream: Stream, errorCode: number): void {
    try {
      failOn(errorCode, `fetch ${stream.topic}-${stream.partition} at ${stream.offset}`);
    } catch (error) {
      if (isKafka(error, 'OFFSET_OUT_OF_RANGE')) {
        stream.fail(
          new SluiceError(
            `Offset ${stream.offset} of ${stream.topic}-${stream.partition} is gone from Kafka (retention or a new topic): ` +
              'records would be lost by going on. Raise the retention, or start this worker over from a replay.',
            { code: 'KAFKA_OFFSET_OUT_OF_RANGE', action: 'fatal', cause: error },
          ),
        );
      } else this.#failed([stream], error);
    }
  }

  /** Tries again after new metadata; gives the error to a stream that has been failing for long. */
  #failed(streams: readonly Stream[], error: unknown): void {
    if (this.#closed) return;
    const now = Date.now();
    for (const stream of streams) {
      stream.failingSince ||= now;
      if (now - stream.failingSince > GIVE_UP_MS) stream.fail(kafkaError(error, `fetch ${stream.topic}`));
    }
    void this.#cluster
      .refresh()
      .catch(() => {})
      .then(() => new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS)))
      .then(() => {
        for (const stream of streams) stream.fetching = false;
        this.#schedule();
      });
  }
}

function isEmpty(topics: readonly FetchedTopic[]): boolean {
  return topics.every(({ partitions }) => partitions.every(({ records }) => records.length === 0));
}

function decodeResponse(reader: WireReader): readonly FetchedTopic[] {
  reader.int32();
  failOn(reader.int16(), 'fetch');
  reader.int32();
  return reader.array((r) => ({
    topic: r.string() ?? '',
    partitions: r.array((p) => {
      const partition = p.int32();
      const errorCode = p.int16();
      const highWatermark = p.int64();
      const lastStable = p.int64();
      p.int64();
      const aborted = p.array((a) => ({ producerId: a.int64(), firstOffset: a.int64() }));
      p.int32();
      return { partition, errorCode, highWatermark, lastStable, aborted, records: p.bytes() };
    }),
  }));
}
