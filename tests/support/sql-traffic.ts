/** Traffic as an application writes it, in SQL text: it goes on while columns are added, widened and dropped. */
import { setTimeout as pause } from 'node:timers/promises';
import type { PostgresPool } from '../../connectors/postgres/pool.ts';
import { random } from './random.ts';

const CONTENTS = 12;
const ROWS = 10;
const PAUSE_MS = 30;
/** Transactions in front of the work and behind it. */
const AROUND = 8;

export class SqlTraffic {
  /** A content that the traffic leaves alone. */
  readonly quiet: string;
  /** Whether there is a column to write durations to. */
  measured = true;
  readonly #pool: PostgresPool;
  readonly #random: () => number;
  readonly #contents: readonly string[];
  #ids: bigint[] = [];
  #turn = 0;

  constructor(pool: PostgresPool, seed: number) {
    this.#pool = pool;
    this.#random = random(seed);
    this.#contents = Array.from({ length: CONTENTS }, () => this.uuid());
    this.quiet = this.uuid();
  }

  async prepare(): Promise<void> {
    await this.#pool.query(
      `INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts)
       SELECT id, 'slug-' || n, 'Title ' || n, (ARRAY['podcast', 'newsletter', 'video'])[1 + n % 3], nullif(n * 60, 60), now()
       FROM unnest($1::uuid[]) WITH ORDINALITY AS c (id, n)`,
      [[this.quiet, ...this.#contents]],
    );
  }

  uuid(): string {
    const digits = Array.from({ length: 32 }, () => Math.floor(this.#random() * 16).toString(16)).join('');
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }

  /** Runs `work` with inserts, updates, deletes and content edits before, beside and after it. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    await this.#transactions(AROUND);
    let working = true;
    const result = work().finally(() => {
      working = false;
    });
    // Awaited below; until then it must not count as unhandled.
    result.catch(() => undefined);
    while (working) await this.#transactions(1);
    await this.#transactions(AROUND);
    return await result;
  }

  async #transactions(count: number): Promise<void> {
    for (let done = 0; done < count; done++) {
      await this.#transaction();
      // The rate, not a wait for anything.
      await pause(PAUSE_MS);
    }
  }

  async #transaction(): Promise<void> {
    const turn = this.#turn++;
    const rows = Array.from({ length: ROWS }, () => ({
      content: this.#pick(this.#contents),
      user: this.uuid(),
      kind: this.#pick(['play', 'pause', 'finish', 'click']),
      device: this.#pick(['ios', 'web', null]),
      late: this.#random() < 0.1 ? 100_000 : 0,
      duration: this.#random() < 0.2 ? null : Math.floor(this.#random() * 100_000),
    }));
    await this.#pool.transaction(async (sql) => {
      const { rows: inserted } = await sql.query<{ id: bigint }>(
        `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, device${this.measured ? ', duration_ms' : ''})
         SELECT content, person, kind, now() - make_interval(secs => late), device${this.measured ? ', duration' : ''}
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::int[])
           AS t (content, person, kind, device, late, duration)
         RETURNING id`,
        [
          rows.map(({ content }) => content),
          rows.map(({ user }) => user),
          rows.map(({ kind }) => kind),
          rows.map(({ device }) => device),
          rows.map(({ late }) => late),
          rows.map(({ duration }) => duration),
        ],
      );
      const changed = [this.#pick(this.#ids), this.#pick(this.#ids)].filter((id) => id !== undefined);
      await sql.query('UPDATE engagement_events SET event_ts = event_ts - $2::interval WHERE id = ANY($1)', [
        changed,
        '3 seconds',
      ]);
      if (turn % 3 === 0) {
        await sql.query('DELETE FROM engagement_events WHERE id = $1', [this.#pick(this.#ids) ?? 0n]);
      }
      if (turn % 5 === 0) {
        await sql.query('UPDATE content SET title = $2 WHERE id = $1', [
          this.#pick(this.#contents),
          `Title at ${turn}`,
        ]);
      }
      this.#ids = [...this.#ids.slice(-500), ...inserted.map(({ id }) => id)];
    });
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }
}
