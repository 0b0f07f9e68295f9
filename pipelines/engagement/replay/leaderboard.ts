/** Leaderboards of another variant beside the live ones: waits and comparisons of `npm run replay -- --stage leaderboard`. */
import { dropLeaderboards } from '../../../connectors/redis/drop.ts';
import { boardReader } from '../../../connectors/redis/reader.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient, LogReader } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';
import { untilAnswered, type Waiting } from '../../operations/replay/waiting.ts';
import { leaderboardDecoder } from '../codec/leaderboard.ts';
import { METRICS, type Metric } from '../leaderboard/record.ts';
import { WINDOWS } from '../leaderboard/windows.ts';
import {
  type LeaderboardDeployment,
  type LeaderboardRules,
  rulesOf,
  type VariantNames,
  windowsOf,
} from '../leaderboard-deployment.ts';
import { leaderboardName } from '../redis-boards.ts';
import { CHANGES } from '../topics.ts';

async function partitionsOf(client: LogClient): Promise<readonly number[]> {
  return Array.from({ length: await client.partitions(CHANGES) }, (_, partition) => partition);
}

/** Waits until the group has counted all changes that are there now. */
export async function untilCaughtUp(client: LogClient, group: string, waiting: Waiting): Promise<void> {
  const partitions = await partitionsOf(client);
  const ends = await client.offsets(CHANGES, partitions, 'lastStable');
  await untilAnswered(
    `${group} did not come to the end of ${CHANGES} (is a worker of it running?)`,
    waiting,
    async () => {
      for (const partition of partitions) {
        const committed = await client.committed(group, CHANGES, partition);
        // The markers behind the last change are not worth a commit.
        if ((committed?.offset ?? 0n) + CONTROL_GAP < ends.get(partition)!) return null;
      }
      return true;
    },
  );
}

const CONTROL_GAP = 16n;

export interface Shown {
  /** Of the Redis sink. */
  readonly generation: number;
  readonly rules: LeaderboardRules;
}

/** Waits until every board in Redis is of this generation. */
export async function untilShown(redisUrl: string, { generation, rules }: Shown, waiting: Waiting): Promise<void> {
  const reader = boardReader({ url: redisUrl });
  try {
    await reader.connect();
    await untilAnswered('Redis does not show the new boards (is engagement.sink.redis running?)', waiting, async () => {
      for (const { name } of windowsOf(rules)) {
        const { stamps, partitions } = await reader.top(leaderboardName(name), METRICS[0]!, 1);
        const fences = [...stamps.values()].map(({ fence }) => Number(fence?.split(':')[0] ?? 0));
        if (fences.length < partitions || partitions === 0 || fences.some((at) => at < generation)) return null;
      }
      return true;
    });
  } finally {
    await reader.close();
  }
}

/** Takes the boards away of windows that the live variant does not have, as far as they are known. */
export async function dropUnshown(redisUrl: string, { live, variants }: LeaderboardDeployment): Promise<void> {
  const kept = new Set(windowsOf(rulesOf({ variants }, live)).map(({ name }) => name));
  const known = new Set([...Object.values(variants).flatMap(windowsOf), ...WINDOWS].map(({ name }) => name));
  const gone = [...known].filter((name) => !kept.has(name));
  await dropLeaderboards(
    { url: redisUrl },
    gone.map((window) => ({ name: leaderboardName(window), boards: METRICS })),
  );
}

type Entry = Extract<LeaderboardRecord['body'], { kind: 'LeaderboardEntry' }>;

/** One place of one board under both variants; null: not on it. */
export interface PlaceChange {
  readonly board: string;
  readonly contentId: string;
  readonly live: { readonly place: number; readonly score: number } | null;
  readonly other: { readonly place: number; readonly score: number } | null;
}

export interface VariantComparison {
  /** Next offset of `engagement.changes` by partition that both have counted up to. */
  readonly asOf: Readonly<Record<string, string>>;
  readonly places: number;
  readonly changes: readonly PlaceChange[];
}

interface Side {
  readonly names: VariantNames;
  readonly rules: LeaderboardRules;
}

/** Compares the boards of two variants where both have counted exactly the same changes. */
export async function compareVariants(
  client: LogClient,
  sides: { readonly live: Side; readonly other: Side },
  { schemas, ...waiting }: Waiting & { readonly schemas: SchemaSource },
): Promise<VariantComparison> {
  const reader = client.reader({ minBytes: 1, maxWaitMs: 200, maxBufferedBytes: 8 << 20 });
  const topics = new BoardTopics(client, reader, schemas);
  try {
    const asOf: Record<string, string> = {};
    const live: Entries[] = [];
    const other: Entries[] = [];
    for (const partition of await partitionsOf(client)) {
      const common = await untilAnswered(
        `No position that both variants have stood at in partition ${partition}`,
        waiting,
        () => topics.common(sides.live.names.output, sides.other.names.output, partition),
      );
      asOf[partition] = String(common.changes);
      live.push(await topics.at(sides.live.names.output, partition, common.left));
      other.push(await topics.at(sides.other.names.output, partition, common.right));
    }
    return { asOf, ...placeChanges(boardsOf(live, sides.live.rules), boardsOf(other, sides.other.rules)) };
  } finally {
    await reader.close();
  }
}

/** Entries by key `window|content`. */
type Entries = ReadonlyMap<string, { readonly window: string; readonly entry: Entry }>;

/** Reads output topics as of one of their stamps. */
class BoardTopics {
  readonly #client: LogClient;
  readonly #reader: LogReader;
  readonly #decoder: ReturnType<typeof leaderboardDecoder>;

  constructor(client: LogClient, reader: LogReader, schemas: SchemaSource) {
    this.#client = client;
    this.#reader = reader;
    this.#decoder = leaderboardDecoder(schemas);
  }

  /** The newest position of the changes at which both topics were published; null when there is none. */
  async common(
    left: string,
    right: string,
    partition: number,
  ): Promise<{ readonly changes: bigint; readonly left: bigint; readonly right: bigint } | null> {
    const lefts = await this.#publications(left, partition);
    const rights = await this.#publications(right, partition);
    let newest: bigint | null = null;
    for (const changes of lefts.keys())
      if (rights.has(changes) && (newest === null || changes > newest)) newest = changes;
    return newest === null ? null : { changes: newest, left: lefts.get(newest)!, right: rights.get(newest)! };
  }

  async at(topic: string, partition: number, end: bigint): Promise<Entries> {
    const entries = new Map<string, { readonly window: string; readonly entry: Entry }>();
    await this.#read(topic, partition, end, (key, _, value) => {
      if (value === null) entries.delete(key);
      else if (value.body.kind === 'LeaderboardEntry') entries.set(key, { window: value.window, entry: value.body });
    });
    return entries;
  }

  /** Position of the changes → the offset behind the last stamp that names it. */
  async #publications(topic: string, partition: number): Promise<ReadonlyMap<bigint, bigint>> {
    const end = (await this.#client.offsets(topic, [partition], 'lastStable')).get(partition) ?? 0n;
    const found = new Map<bigint, bigint>();
    await this.#read(topic, partition, end, (_, offset, value) => {
      if (value?.body.kind === 'LeaderboardAsOf') found.set(value.body.changes_offset, offset + 1n);
    });
    return found;
  }

  async #read(
    topic: string,
    partition: number,
    end: bigint,
    each: (key: string, offset: bigint, value: LeaderboardRecord | null) => void,
  ): Promise<void> {
    const from = (await this.#client.offsets(topic, [partition], 'earliest')).get(partition) ?? 0n;
    await readToEnd(this.#reader, { topic, partition, from, end }, async ({ records }) => {
      await this.#decoder.prepare(records.map(({ value }) => value));
      for (const { key, offset, value } of records) {
        if (key !== null) each(key.toString(), offset, value === null ? null : this.#decoder.decode(value));
      }
    });
  }
}

type Board = ReadonlyMap<string, { readonly place: number; readonly score: number }>;

const scoreOf: Readonly<Record<Metric, (entry: Entry) => number | null>> = {
  events: (entry) => (entry.ranked_events ? entry.events : null),
  seconds: (entry) => (entry.ranked_seconds ? entry.engagement_ms / 1_000 : null),
  avg_pct: (entry) => (entry.ranked_avg_pct && entry.avg_pct_bp !== null ? entry.avg_pct_bp / 100 : null),
};

/** The first places of each window and metric, over all partitions. */
export function boardsOf(
  partitions: readonly Entries[],
  { limit, windows }: Pick<LeaderboardRules, 'limit' | 'windows'>,
): ReadonlyMap<string, Board> {
  const boards = new Map<string, Board>();
  for (const { name } of windowsOf({ windows })) {
    for (const metric of METRICS) {
      const ranked = partitions
        .flatMap((entries) => [...entries.values()])
        .filter(({ window }) => window === name)
        .flatMap(({ entry }) => {
          const score = scoreOf[metric](entry);
          return score === null ? [] : [{ id: entry.content_id, score }];
        })
        .sort((a, b) => (a.score === b.score ? (a.id < b.id ? 1 : -1) : b.score - a.score))
        .slice(0, limit);
      boards.set(`${name} ${metric}`, new Map(ranked.map(({ id, score }, index) => [id, { place: index + 1, score }])));
    }
  }
  return boards;
}

/** Which places are others, or have another score. */
export function placeChanges(
  live: ReadonlyMap<string, Board>,
  other: ReadonlyMap<string, Board>,
): Pick<VariantComparison, 'places' | 'changes'> {
  const changes: PlaceChange[] = [];
  let places = 0;
  for (const board of new Set([...live.keys(), ...other.keys()])) {
    const mine: Board = live.get(board) ?? new Map();
    const theirs: Board = other.get(board) ?? new Map();
    const ids = new Set([...mine.keys(), ...theirs.keys()]);
    places += ids.size;
    for (const contentId of ids) {
      const change = { board, contentId, live: mine.get(contentId) ?? null, other: theirs.get(contentId) ?? null };
      if (change.live?.place !== change.other?.place || change.live?.score !== change.other?.score)
        changes.push(change);
    }
  }
  return { places, changes };
}
