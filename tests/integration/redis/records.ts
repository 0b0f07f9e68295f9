/** Records of engagement.leaderboards for tests. */
import type { SinkBatch, SinkRecord } from '../../../engine/sink.ts';
import type { LeaderboardOutput } from '../../../pipelines/engagement/leaderboard/record.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';

export type Body = LeaderboardRecord['body'];
type Entry = Extract<Body, { kind: 'LeaderboardEntry' }>;

export const WINDOW_END = 1_767_225_600_000;

export function entry(contentId: string, events: number, more: Partial<Entry> = {}): LeaderboardOutput {
  const body: Entry = {
    kind: 'LeaderboardEntry',
    content_id: contentId,
    slug: `slug-${contentId}`,
    title: `Title ${contentId}`,
    content_type: 'video',
    events,
    plays: 1,
    finishes: 0,
    engagement_ms: events * 1_500,
    engagement_samples: events,
    pct_bp_sum: 0,
    pct_samples: 0,
    avg_pct_bp: null,
    ranked_events: true,
    ranked_seconds: true,
    ranked_avg_pct: false,
    ...more,
  };
  return { kind: 'upsert', key: `1h|${contentId}`, value: { window: '1h', body } };
}

export function gone(contentId: string): LeaderboardOutput {
  return { kind: 'tombstone', key: `1h|${contentId}` };
}

export function stamp(partition: number, streamTime: number, lsn: bigint): LeaderboardOutput {
  const body = {
    kind: 'LeaderboardAsOf',
    partition,
    stream_time: streamTime,
    window_start: WINDOW_END - 3_600_000,
    window_end: WINDOW_END,
    source_lsn: lsn,
    changes_offset: BigInt(streamTime),
  } as const;
  return { kind: 'upsert', key: '1h|', value: { window: '1h', body } };
}

export function toRecord(output: LeaderboardOutput, offset: bigint): SinkRecord<LeaderboardRecord> {
  const key = Buffer.from(output.key);
  return output.kind === 'upsert'
    ? { kind: 'upsert', offset, key, value: output.value }
    : { kind: 'tombstone', offset, key };
}

/** The topic of one partition: what is appended, in batches of a sink. */
export class TestLog {
  readonly partition: number;
  generation = 1;
  readonly #records: LeaderboardOutput[] = [];
  #written = 0;

  constructor(partition: number) {
    this.partition = partition;
  }

  get length(): number {
    return this.#records.length;
  }

  /** Appends, and gives the batch from the last one's end to here. */
  batch(...outputs: readonly LeaderboardOutput[]): SinkBatch<LeaderboardRecord> {
    const from = this.#written;
    this.#records.push(...outputs);
    this.#written = this.#records.length;
    return this.range(from, this.#written);
  }

  range(from: number, to: number): SinkBatch<LeaderboardRecord> {
    const records = this.#records.slice(from, to).map((output, index) => toRecord(output, BigInt(from + index)));
    const { partition, generation } = this;
    return { topic: 'engagement.leaderboards', partition, generation, from: BigInt(from), to: BigInt(to), records };
  }

  /** What a rebuild gets: the newest record of each key. */
  compacted(): SinkBatch<LeaderboardRecord> {
    const newest = new Map(this.#records.map((output, index) => [output.key, index]));
    const all = this.range(0, this.#records.length);
    const live = all.records.filter((record, index) => {
      return record.kind === 'upsert' && newest.get(this.#records[index]!.key) === index;
    });
    return { ...all, records: live };
  }
}
