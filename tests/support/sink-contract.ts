/**
 * What every sink must do, whatever it writes to. Run on a real target, through a harness that knows the target:
 *
 *   describeSinkContract('clickhouse', async () => harness)
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { actionOf } from '../../engine/errors.ts';
import type { Sink, SinkBatch, SinkRecord, TopicPartition } from '../../engine/sink.ts';

export interface SinkHarness<T> {
  /** A sink as a fresh process would make it, not connected. Closed by the suite. */
  makeSink(): Sink<T>;
  /** Empties the target. */
  reset(): Promise<void>;
  /** Records of offsets [from, to) of one partition; the same for the same arguments. Later ones may change earlier ones. */
  records(from: bigint, to: bigint): readonly SinkRecord<T>[];
  /** Everything that readers of the target can see, in a form that `toEqual` compares; positions and stamps left out. */
  readBack(): Promise<unknown>;
  /** Makes the target unreachable, as a crash of its server would, and brings it back with its data. */
  breakConnection(): Promise<void>;
  restoreConnection(): Promise<void>;
  stop(): Promise<void>;
}

const AT: TopicPartition = { topic: 'contract.input', partition: 3 };
const TIMEOUT_MS = 60_000;

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => /^TCP(Socket)?Wrap$/.test(name)).length;
}

/** Waits until the sockets are gone: closing is asynchronous in the runtime. */
async function socketsAtMost(count: number): Promise<number> {
  const deadline = performance.now() + 5_000;
  while (openSockets() > count && performance.now() < deadline) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  return openSockets();
}

export function describeSinkContract<T>(name: string, start: () => Promise<SinkHarness<T>>): void {
  describe(`sink contract: ${name}`, { timeout: TIMEOUT_MS }, () => {
    let harness: SinkHarness<T>;
    const sinks: Sink<T>[] = [];

    beforeAll(async () => {
      harness = await start();
    }, TIMEOUT_MS);
    afterAll(async () => {
      await Promise.all(sinks.map((sink) => sink.close()));
      await harness?.stop();
    }, TIMEOUT_MS);
    beforeEach(async () => {
      await harness.reset();
    }, TIMEOUT_MS);

    const batch = (from: bigint, to: bigint, generation = 1): SinkBatch<T> => ({
      ...AT,
      from,
      to,
      generation,
      records: harness.records(from, to),
    });

    /** A process that has just been assigned the partition. */
    async function assigned(generation = 1): Promise<Sink<T>> {
      const sink = harness.makeSink();
      sinks.push(sink);
      await sink.connect();
      await sink.position({ ...AT, generation });
      return sink;
    }

    async function writeAll(sink: Sink<T>, ranges: readonly (readonly [bigint, bigint])[]): Promise<void> {
      for (const [from, to] of ranges) expect(await sink.write(batch(from, to), { retry: false })).toBe('written');
    }

    /** What one undisturbed writer leaves behind. */
    async function reference(ranges: readonly (readonly [bigint, bigint])[]): Promise<unknown> {
      await harness.reset();
      await writeAll(await assigned(), ranges);
      const seen = await harness.readBack();
      await harness.reset();
      return seen;
    }

    it('shows something after a batch', async () => {
      const empty = await harness.readBack();
      await writeAll(await assigned(), [[0n, 20n]]);
      expect(await harness.readBack()).not.toEqual(empty);
    });

    it('shows the same when the same batch comes again', async () => {
      const sink = await assigned();
      await writeAll(sink, [[0n, 20n]]);
      const once = await harness.readBack();
      await sink.write(batch(0n, 20n), { retry: false });
      await sink.write(batch(0n, 20n), { retry: true });
      expect(await harness.readBack()).toEqual(once);
    });

    it('shows the same however the log is cut into batches', async () => {
      const whole = await reference([[0n, 40n]]);
      await writeAll(await assigned(), [
        [0n, 7n],
        [7n, 8n],
        [8n, 33n],
        [33n, 40n],
      ]);
      expect(await harness.readBack()).toEqual(whole);
    });

    it('completes a range whose writer crashed between write and commit', async () => {
      const wanted = await reference([
        [0n, 20n],
        [20n, 40n],
      ]);
      await writeAll(await assigned(), [[0n, 20n]]);
      const next = await assigned();
      await next.write(batch(0n, 20n), { retry: true });
      await writeAll(next, [[20n, 40n]]);
      expect(await harness.readBack()).toEqual(wanted);
    });

    it('writes a range whose writer crashed before the write', async () => {
      const wanted = await reference([[0n, 20n]]);
      const next = await assigned();
      expect(await next.write(batch(0n, 20n), { retry: true })).toBe('written');
      expect(await harness.readBack()).toEqual(wanted);
    });

    it('refuses a batch that is older than what the target holds', async () => {
      await writeAll(await assigned(), [
        [0n, 20n],
        [20n, 40n],
      ]);
      const seen = await harness.readBack();
      const late = await assigned();
      expect(await late.write(batch(0n, 20n), { retry: false })).toBe('stale');
      expect(await harness.readBack()).toEqual(seen);
    });

    it('is not changed by a writer that wakes up after another took over', async () => {
      const zombie = await assigned();
      await writeAll(zombie, [[0n, 10n]]);
      // The zombie has announced [10, 20) and sleeps; its successor writes that range and goes on.
      const successor = await assigned();
      await successor.write(batch(10n, 20n), { retry: true });
      await writeAll(successor, [[20n, 40n]]);
      const seen = await harness.readBack();
      await zombie.write(batch(10n, 20n), { retry: false });
      expect(await harness.readBack()).toEqual(seen);
      await writeAll(successor, [[40n, 50n]]);
      expect(await harness.readBack()).not.toEqual(seen);
    });

    it('shows the same when a range is read again under a new generation', async () => {
      await writeAll(await assigned(), [
        [0n, 20n],
        [20n, 40n],
      ]);
      const seen = await harness.readBack();
      const replay = await assigned(2);
      for (const [from, to] of [
        [0n, 15n],
        [15n, 40n],
      ] as const) {
        await replay.write(batch(from, to, 2), { retry: false });
        await replay.write(batch(from, to, 2), { retry: true });
      }
      expect(await harness.readBack()).toEqual(seen);
    });

    it('refuses an older generation', async () => {
      await writeAll(await assigned(), [[0n, 20n]]);
      const replay = await assigned(2);
      await replay.write(batch(0n, 20n, 2), { retry: false });
      await replay.write(batch(20n, 40n, 2), { retry: false });
      const seen = await harness.readBack();
      const old = await assigned(1);
      expect(await old.write(batch(20n, 40n, 1), { retry: false })).toBe('stale');
      expect(await harness.readBack()).toEqual(seen);
    });

    it('asks for a retry while the target cannot be reached, and loses nothing', async () => {
      const wanted = await reference([
        [0n, 20n],
        [20n, 40n],
      ]);
      const sink = await assigned();
      await writeAll(sink, [[0n, 20n]]);
      await harness.breakConnection();
      try {
        const error = await sink.write(batch(20n, 40n), { retry: false }).then(
          () => null,
          (reason: unknown) => reason,
        );
        expect(error).not.toBeNull();
        expect(['retry', 'reconnect']).toContain(actionOf(error));
      } finally {
        await harness.restoreConnection();
      }
      await sink.position({ ...AT, generation: 1 });
      expect(await sink.write(batch(20n, 40n), { retry: true })).toBe('written');
      expect(await harness.readBack()).toEqual(wanted);
    });

    it('closes what it opened, and twice does no harm', async () => {
      await Promise.all(sinks.splice(0).map((sink) => sink.close()));
      const before = openSockets();
      const sink = await assigned();
      await writeAll(sink, [[0n, 10n]]);
      await sink.close();
      await sink.close();
      expect(await socketsAtMost(before)).toBeLessThanOrEqual(before);
    });
  });
}
