/** engagement.leaderboard: the change log becomes absolute figures of the best contents per sliding window. */
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../engine/avro/framed-decoder.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { SegmentedStore } from '../../engine/segmented-store.ts';
import type { CheckpointedStage, Emit, StageProcessor } from '../../engine/stage.ts';
import type { LeaderboardChange } from './codec/change.ts';
import { encodeLeaderboard } from './codec/leaderboard.ts';
import { LeaderboardState } from './leaderboard/leaderboard.ts';
import { type Stored, storedCodec } from './leaderboard/stored.ts';
import type { LeaderboardRules, VariantNames } from './leaderboard-deployment.ts';
import { CHANGES, DLQ } from './topics.ts';

export interface LeaderboardStageOptions {
  readonly decoder: Pick<FramedDecoder<LeaderboardChange>, 'decode'>;
  /** Schema id of a leaderboard record. */
  readonly schemaId: number;
  readonly checkpointMs: number;
  readonly names: VariantNames;
  readonly rules: LeaderboardRules;
}

export function leaderboardStage(options: LeaderboardStageOptions): CheckpointedStage<Stored> {
  return {
    kind: 'checkpointed',
    name: options.names.group,
    input: CHANGES,
    outputs: [options.names.output, options.names.changelog],
    changelog: options.names.changelog,
    checkpointMs: options.checkpointMs,
    codec: storedCodec,
    dlq: DLQ,
    open: (task) => new Leaderboard(options, task),
  };
}

class Leaderboard implements StageProcessor {
  readonly #options: LeaderboardStageOptions;
  readonly #partition: number;
  readonly #emit: Emit;
  readonly #state: LeaderboardState;
  readonly #writer = new ByteWriter();
  #nextOffset = 0n;

  constructor(
    options: LeaderboardStageOptions,
    task: {
      readonly partition: number;
      readonly store: SegmentedStore<Stored>;
      readonly emit: Emit;
      readonly trimmed: boolean;
    },
  ) {
    this.#options = options;
    this.#partition = task.partition;
    this.#emit = task.emit;
    this.#state = new LeaderboardState(task.store, { ...options.rules, trimmed: task.trimmed });
  }

  streamTimeMs(): number {
    return this.#state.streamTime;
  }

  process(record: LogRecord): void {
    if (record.value !== null) this.#state.apply(this.#options.decoder.decode(record.value));
    this.#nextOffset = record.offset + 1n;
  }

  beforeCommit(): void {
    for (const output of this.#state.publish({ partition: this.#partition, nextOffset: this.#nextOffset })) {
      this.#writer.reset();
      const value =
        output.kind === 'upsert' ? encodeLeaderboard(this.#writer, this.#options.schemaId, output.value) : null;
      this.#emit(this.#options.names.output, Buffer.from(output.key), value, this.#state.streamTime);
    }
  }
}
