/** A task around the leaderboard state: transactions, checkpoints, crashes and restores, over logs in memory. */
import { memorySegments } from '../../../engine/lmdb-segments.ts';
import type { ChangelogEntry, SegmentBase } from '../../../engine/segment-base.ts';
import { type CheckpointedStore, segmentedStore } from '../../../engine/segmented-store.ts';
import { type LeaderboardOptions, LeaderboardState } from '../../../pipelines/engagement/leaderboard/leaderboard.ts';
import type { LeaderboardChange, LeaderboardOutput } from '../../../pipelines/engagement/leaderboard/record.ts';
import { type Stored, storedCodec } from '../../../pipelines/engagement/leaderboard/stored.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';

export type Crash = 'before-commit' | 'before-checkpoint' | 'after-checkpoint';

interface ChangelogRecord {
  readonly entries: readonly ChangelogEntry[];
  readonly input: number;
}

export class Simulation {
  /** The compacted output topic. */
  readonly output = new Map<string, LeaderboardRecord>();
  readonly input: LeaderboardChange[] = [];
  /** The committed input offset. */
  committed = 0;
  needlessTombstones = 0;
  options: LeaderboardOptions;
  readonly #changelog: ChangelogRecord[] = [];
  #base: SegmentBase = memorySegments();
  #store!: CheckpointedStore<Stored>;
  #state!: LeaderboardState;

  constructor(options: LeaderboardOptions) {
    this.options = options;
    this.restart();
  }

  /** One transaction over all input that is not committed, with a crash at the given point if any. */
  transaction(checkpoint: boolean, crash?: Crash): void {
    for (const change of this.input.slice(this.committed)) this.#state.apply(change);
    const next = this.input.length;
    const outputs = this.#state.publish({ partition: 3, nextOffset: BigInt(next) });
    const drained = checkpoint ? this.#store.drainDirty() : null;
    if (crash === 'before-commit') return;
    for (const output of outputs) this.#append(output);
    if (drained !== null) this.#changelog.push({ entries: [...drained], input: next });
    this.committed = next;
    if (crash === 'before-checkpoint' || drained === null) return;
    this.#store.checkpoint({ input: String(next), changelog: String(this.#changelog.length) });
  }

  /** A new process: what is left is the base (or not even that), the logs and the committed offset. */
  restart(loseBase = false): void {
    if (loseBase) this.#base = memorySegments();
    this.#store = segmentedStore({ base: this.#base, codec: storedCodec, maxEntries: 4 });
    const positions = this.#store.positions();
    let from = Number(positions.input ?? 0);
    const missing = this.#changelog.slice(Number(positions.changelog ?? 0));
    for (const record of missing) {
      for (const { key, value } of record.entries) this.#store.applyChangelog(key, value);
      from = record.input;
    }
    if (missing.length > 0) {
      this.#store.checkpoint({ input: String(from), changelog: String(this.#changelog.length) });
    }
    this.#state = new LeaderboardState(this.#store, this.options);
    for (const change of this.input.slice(from, this.committed)) this.#state.apply(change);
    this.#state.publish({ partition: 3, nextOffset: BigInt(this.committed) });
  }

  #append(output: LeaderboardOutput): void {
    if (output.kind === 'upsert') this.output.set(output.key, output.value);
    else if (!this.output.delete(output.key)) this.needlessTombstones += 1;
  }
}
