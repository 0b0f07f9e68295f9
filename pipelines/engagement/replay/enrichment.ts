/**
 * Other logic of the enrichment over history: what it would change, and the waiting until it has (`npm run replay -- --stage enrich`).
 * The comparison runs the stage's own code over a store of its own, restored from the public topic, and writes nothing else.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { RegistryClient } from '../../../connectors/registry/client.ts';
import type { LogClient } from '../../../engine/log.ts';
import type { Emit } from '../../../engine/stage.ts';
import { ViewStore } from '../../../engine/view-store.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import { untilAnswered, type Waiting } from '../../operations/replay/waiting.ts';
import { changeDecoder } from '../codec/change.ts';
import { decodeEvent } from '../codec/event.ts';
import { contentTable } from '../content-table.ts';
import { ROW_ORDER } from '../enrich/order.ts';
import { RevisionWalk } from '../enrich/revision-walk.ts';
import { EnrichedRows } from '../enrich/rows.ts';
import { enrichSchemas } from '../enrich/schemas.ts';
import { FIRST_EDITION } from '../enrichment-deployment.ts';
import { pendingText, type Rollout, readRollout } from '../rollout.ts';
import type { EnrichmentRules } from '../semantics.ts';
import { EVENTS_V1 } from '../topics.ts';

/** Of all rows of a day (UTC) by `event_ts`. */
export interface DayComparison {
  readonly day: string;
  readonly rows: number;
  readonly changed: number;
  readonly pctBpSum: { readonly before: number; readonly after: number };
  readonly pctSamples: { readonly before: number; readonly after: number };
}

/** A row, and what of it would be otherwise. */
export interface ChangedRow {
  readonly eventId: string;
  readonly contentId: string;
  readonly before: Readonly<Record<string, unknown>>;
  readonly after: Readonly<Record<string, unknown>>;
}

export interface EnrichmentComparison {
  readonly rows: number;
  readonly changed: number;
  /** Days on which something would change, in order. */
  readonly days: readonly DayComparison[];
  /** The first ones. */
  readonly samples: readonly ChangedRow[];
}

const DAY_MICROS = 86_400_000_000;
const PIECE = 2_000;
const SAMPLES = 20;

interface Day {
  rows: number;
  changed: number;
  readonly pctBpSum: { before: number; after: number };
  readonly pctSamples: { before: number; after: number };
}

/** Adds up rows as they are and what would become of them. */
export class ComparisonTally {
  readonly #days = new Map<number, Day>();
  readonly #samples: ChangedRow[] = [];
  #rows = 0;
  #changed = 0;

  get rows(): number {
    return this.#rows;
  }

  row(event: EngagementEvent): void {
    this.#rows++;
    const day = this.#day(event);
    day.rows++;
    for (const side of ['before', 'after'] as const) count(day, side, event, 1);
  }

  change(before: EngagementEvent, after: EngagementEvent): void {
    this.#changed++;
    const day = this.#day(before);
    day.changed++;
    count(day, 'after', before, -1);
    count(day, 'after', after, 1);
    if (this.#samples.length >= SAMPLES) return;
    const names = (Object.keys(before) as (keyof EngagementEvent)[]).filter((name) => before[name] !== after[name]);
    const only = (event: EngagementEvent) => Object.fromEntries(names.map((name) => [name, event[name]]));
    const { event_id, content_id: contentId } = before;
    this.#samples.push({ eventId: String(event_id), contentId, before: only(before), after: only(after) });
  }

  result(): EnrichmentComparison {
    const days = [...this.#days]
      .filter(([, { changed }]) => changed > 0)
      .sort(([a], [b]) => a - b)
      .map(([day, sums]) => ({ day: new Date((day * DAY_MICROS) / 1_000).toISOString().slice(0, 10), ...sums }));
    return { rows: this.#rows, changed: this.#changed, days, samples: this.#samples };
  }

  #day({ event_ts }: EngagementEvent): Day {
    const number = Math.floor(event_ts / DAY_MICROS);
    let day = this.#days.get(number);
    if (day === undefined) {
      day = { rows: 0, changed: 0, pctBpSum: { before: 0, after: 0 }, pctSamples: { before: 0, after: 0 } };
      this.#days.set(number, day);
    }
    return day;
  }
}

function count(day: Day, side: 'before' | 'after', { engagement_pct_bp: pct }: EngagementEvent, sign: 1 | -1): void {
  if (pct === null) return;
  day.pctBpSum[side] += sign * pct;
  day.pctSamples[side] += sign;
}

export interface CompareOptions {
  readonly client: LogClient;
  readonly registry: RegistryClient;
  readonly rules: EnrichmentRules;
  /** A folder of this run's own, for a copy of the store. */
  readonly dir: string;
  readonly signal: AbortSignal;
  readonly progress: (done: number, total: number | null) => void;
}

/** What the rules, and this code, would change in the rows that the public topic holds. */
export async function compareEnrichment(options: CompareOptions): Promise<EnrichmentComparison> {
  const { client, registry } = options;
  const contents = contentTable(options, () => {});
  const reader = client.reader({ minBytes: 1, maxWaitMs: 200, maxBufferedBytes: 8 << 20 });
  try {
    await contents.start();
    const { ids, bodies } = await enrichSchemas(registry);
    const changes = changeDecoder(registry);
    await changes.load([ids.change]);
    const tally = new ComparisonTally();
    const emit: Emit = (_topic, _key, value) => {
      const { before, after } = changes.decode(Buffer.from(value!));
      tally.change(before!, after!);
    };
    const logic = { contents: contents.rows, bodies, ids, rules: options.rules, policy: 'correct' } as const;
    for (let partition = 0; partition < (await client.partitions(EVENTS_V1)); partition++) {
      const dir = join(options.dir, String(partition));
      const store = await ViewStore.open(client, reader, { topic: EVENTS_V1, partition, dir, order: ROW_ORDER });
      try {
        await walkThrough(store, { rows: new EnrichedRows(logic, store, emit), tally, ...options });
      } finally {
        await store.close();
        rmSync(dir, { recursive: true, force: true });
      }
    }
    return tally.result();
  } finally {
    await reader.close();
    await contents.close();
  }
}

/** Nothing is written but the copy of the store. */
async function walkThrough(
  store: ViewStore,
  {
    rows,
    tally,
    signal,
    progress,
  }: Pick<CompareOptions, 'signal' | 'progress'> & {
    readonly rows: EnrichedRows;
    readonly tally: ComparisonTally;
  },
): Promise<void> {
  const walk = new RevisionWalk(store, FIRST_EDITION, null);
  const each = (key: Buffer) => {
    rows.begin(0);
    tally.row(decodeEvent(rows.stored(key)!));
    rows.revise(key, { lsn: 0n, timeMs: 0 });
  };
  while (walk.piece(PIECE, each)) {
    store.committed(0n);
    progress(tally.rows, null);
    signal.throwIfAborted();
    await setImmediate();
  }
}

/** Waits until all rows are of the edition that is deployed. The deadline is one without progress. */
export async function untilRolledOut(
  client: LogClient,
  waiting: Waiting & { readonly progress: (done: number, total: number) => void },
): Promise<Rollout> {
  let seen = '';
  return await untilAnswered(
    'engagement.enrich has not made all rows anew (is it running, and has capture a heartbeat?): nothing moved',
    waiting,
    async () => {
      const rollout = await readRollout(client);
      seen = pendingText(rollout);
      if (rollout.pending.length === 0) return rollout;
      const sum = (of: 'rows' | 'of') => rollout.pending.reduce((total, partition) => total + partition[of], 0);
      waiting.progress(sum('rows'), sum('of'));
      return null;
    },
    () => seen,
  );
}
