/** The two kinds of store behind one face: what a task needs of its store around a transaction. */
import { join } from 'node:path';
import { SluiceError } from './errors.ts';
import { openEnvironment } from './lmdb-environment.ts';
import { lmdbSegments } from './lmdb-segments.ts';
import type { LogClient, LogReader, LogRecord, OutputBatch } from './log.ts';
import { readToEnd } from './restore.ts';
import { type CheckpointedStore, segmentedStore } from './segmented-store.ts';
import type { CheckpointedStage, Emit, StageProcessor, ViewStage } from './stage.ts';
import { headStartMs } from './stagger.ts';
import { ViewStore } from './view-store.ts';

export interface TaskState {
  readonly processor: StageProcessor;
  /** Whether the transaction must be made even without outputs. */
  due(): boolean;
  /** Adds the store's own records to the transaction that moves the input to `next`; with `checkpoint`, all of them. */
  prepare(batch: (topic: string) => OutputBatch, next: bigint, checkpoint: boolean): void;
  /** The transaction is committed; `ends` are the next offsets of the partitions written. */
  committed(next: bigint, ends: ReadonlyMap<string, bigint>): void;
  close(): Promise<void>;
}

export interface OpenState {
  readonly client: LogClient;
  readonly reader: LogReader;
  readonly dir: string;
  readonly partition: number;
  readonly emit: Emit;
  /** The committed input offset, or where the input begins. */
  readonly position: bigint;
  readonly metadata: string;
  readonly prepare: (records: readonly LogRecord[], partition: number) => Promise<void>;
}

export async function openViewState(stage: ViewStage, open: OpenState): Promise<TaskState> {
  const { client, reader, partition, emit, metadata, dir } = open;
  const store = await ViewStore.open(client, reader, { topic: stage.view, partition, dir, order: stage.order });
  const end = `${stage.view}-${partition}`;
  return {
    processor: stage.open({ partition, store, emit, metadata }),
    due: () => store.dirty,
    prepare: (batch) => {
      if (store.dirty) store.writeTo(batch(stage.view));
    },
    committed: (_next, ends) => {
      const next = ends.get(end);
      if (next !== undefined) store.committed(next);
    },
    close: () => store.close(),
  };
}

/** The changelog record that ends a checkpoint: the input offset that the entries before it stand for. */
const CHECKPOINT_KEY = Buffer.from([0]);

const isCheckpoint = (key: Buffer): boolean => key.length === 1 && key[0] === CHECKPOINT_KEY[0];

/**
 * Opens a checkpointed store: local folder, then what the changelog has beyond it, then a silent replay of the input
 * from the checkpoint to the committed offset. The replay emits nothing, so it must come to the same state as the first time.
 */
export async function openCheckpointedState<V>(stage: CheckpointedStage<V>, open: OpenState): Promise<TaskState> {
  const { client, reader, partition, position } = open;
  const environment = openEnvironment({ dir: join(open.dir, 'checkpointed') });
  const store = segmentedStore<V>({ base: lmdbSegments(environment), codec: stage.codec });
  try {
    const checkpoint = await restoreCheckpoint(store, { client, reader, topic: stage.changelog, partition });
    let silent = true;
    const emit: Emit = (...record) => {
      if (!silent) open.emit(...record);
    };
    const earliest = (await client.offsets(stage.input, [partition], 'earliest')).get(partition) ?? 0n;
    const processor = stage.open({ partition, store, emit, trimmed: checkpoint === null && earliest > 0n });
    const from = checkpoint ?? earliest;
    await readToEnd(reader, { topic: stage.input, partition, from, end: position }, async (run) => {
      await open.prepare(run.records, partition);
      for (const record of run.records) processAgain(processor, record);
    });
    // What a predecessor has gathered it has emitted with its commit.
    processor.beforeCommit?.();
    silent = false;
    return checkpointedState(stage, { store, processor, partition });
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** What was dead-lettered the first time is at fault again: skipped here, its letter is written already. */
function processAgain(processor: StageProcessor, record: Parameters<StageProcessor['process']>[0]): void {
  try {
    processor.process(record);
  } catch (error) {
    if (!(error instanceof SluiceError && error.action === 'dead-letter')) throw error;
  }
}

function checkpointedState<V>(
  stage: CheckpointedStage<V>,
  parts: {
    readonly store: CheckpointedStore<V>;
    readonly processor: StageProcessor;
    readonly partition: number;
  },
): TaskState {
  const { store, processor, partition } = parts;
  const end = `${stage.changelog}-${partition}`;
  let last = performance.now() - headStartMs(partition, stage.checkpointMs);
  let writing = false;
  return {
    processor,
    due: () => false,
    prepare: (batch, next, checkpoint) => {
      writing = checkpoint || performance.now() - last >= stage.checkpointMs;
      if (!writing) return;
      const output = batch(stage.changelog);
      const now = Date.now();
      for (const { key, value } of store.drainDirty()) output.append(key, value, now);
      output.append(CHECKPOINT_KEY, Buffer.from(String(next)), now);
    },
    committed: (next, ends) => {
      if (!writing) return;
      store.checkpoint({ input: String(next), changelog: String(ends.get(end)) });
      last = performance.now();
    },
    close: () => store.close(),
  };
}

/** Brings the store to the newest checkpoint of the changelog; null when there is none yet. */
async function restoreCheckpoint<V>(
  store: CheckpointedStore<V>,
  at: { readonly client: LogClient; readonly reader: LogReader; readonly topic: string; readonly partition: number },
): Promise<bigint | null> {
  const { client, reader, topic, partition } = at;
  const earliest = (await client.offsets(topic, [partition], 'earliest')).get(partition) ?? 0n;
  const end = (await client.offsets(topic, [partition], 'highWatermark')).get(partition) ?? 0n;
  const { input, changelog } = store.positions();
  let from = changelog === undefined ? null : BigInt(changelog);
  let checkpoint = input === undefined ? null : BigInt(input);
  if (from !== null && (from < earliest || from > end)) from = null;
  if (from === null) {
    store.wipe();
    checkpoint = null;
  }
  await readToEnd(reader, { topic, partition, from: from ?? earliest, end }, (run) => {
    for (const { key, value } of run.records) {
      if (key === null) continue;
      if (isCheckpoint(key)) checkpoint = value === null ? null : BigInt(value.toString());
      else store.applyChangelog(key, value);
    }
    // Run by run, so that memory stays small; a crash in between goes on from here.
    const positions = { changelog: String(run.next) };
    store.checkpoint(checkpoint === null ? positions : { ...positions, input: String(checkpoint) });
  });
  return checkpoint;
}
