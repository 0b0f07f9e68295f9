/** What the source's tables hold and what may happen to them, in plain form. */

export const PARTITIONS = 2;

/** Contents are named by a small number; this one is in no content table. */
export const UNKNOWN = 4;

export function contentIdOf(content: number): string {
  return `0000000${content}-5d1e-4c3a-9b70-6f2a1c8e4d00`;
}

/** Everything about one content is in one partition. */
export function partitionOf(content: number): number {
  return content % PARTITIONS;
}

/** When an event happened, by the commit that wrote it. */
export type When =
  | { readonly at: 'before' | 'after'; readonly ms: number }
  | { readonly at: 'year'; readonly text: '1969' | '2200' | '10000' | 'infinity' };

/** The columns of an event that a write sets. */
export interface EventFields {
  readonly user: number;
  readonly eventType: string;
  readonly when: When;
  readonly durationMs: number | null;
  readonly device: string | null;
  /** A column that was added to the table and that nobody here knows. */
  readonly campaign: string | null;
}

export interface ContentFields {
  readonly slug: string;
  readonly title: string;
  readonly contentType: string;
  readonly lengthSeconds: number | null;
}

/** What happens at the source. */
export type Op =
  /** Inserts the row, or updates all of it: under another content it moves. */
  | { readonly op: 'write'; readonly id: number; readonly content: number; readonly fields: EventFields }
  /** Updates a column that no figure is computed from. */
  | { readonly op: 'touch'; readonly id: number }
  | { readonly op: 'delete'; readonly id: number }
  | { readonly op: 'edit'; readonly content: number; readonly fields: ContentFields }
  /** Reads one row again, or both tables. */
  | { readonly op: 'snapshot'; readonly id: number | null }
  /** The newest record of a row once more, byte by byte. */
  | { readonly op: 'redeliver'; readonly id: number }
  /** A command writes the `back`th newest record of a row again, having looked for later ones through some more of the partition. */
  | { readonly op: 'operate'; readonly id: number; readonly back: number; readonly seen: number }
  | { readonly op: 'garbage'; readonly content: number; readonly kind: Garbage }
  | { readonly op: 'heartbeat' };

export type Garbage = 'noise' | 'truncated' | 'schema' | 'field' | 'row' | 'operation' | 'tombstone';

/** An op and the transaction it is in. */
export interface Step {
  readonly do: Op;
  /** In the transaction of the step before; else in its own, this long after it. */
  readonly together: boolean;
  readonly waitMs: number;
}

export interface EventRow extends Omit<EventFields, 'when'> {
  readonly id: bigint;
  readonly content: number;
  /** As Debezium writes it. */
  readonly eventTs: string;
  /** null for what is no time within the years 1970 to 2199. */
  readonly eventMicros: number | null;
  readonly payload: number;
}

export interface SourceBlock {
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commitTsMs: number;
}
