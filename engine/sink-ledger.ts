/**
 * What Kafka keeps of a sink's partition: the offset, the range that is being written, and how far letters are written.
 *
 * Invariant: every record at fault has one dead letter. A letter is written in a transaction with the offset, by a writer
 * that is fenced before the offset is read: no letter of a predecessor is under way then, and a predecessor that wakes up
 * can write none.
 */
import { appendDeadLetter } from './dead-letter.ts';
import type { SluiceError } from './errors.ts';
import type { Assignment, LogClient, LogRecord, Membership, TransactionalWriter } from './log.ts';
import type { SinkDelivery, TopicPartition } from './sink.ts';

export interface Letter {
  readonly record: LogRecord;
  readonly error: SluiceError;
}

/** A range that was announced and may or may not have been written. */
export interface PendingRange {
  readonly to: bigint;
  readonly generation: number;
}

export interface SinkLedgerOptions {
  /** Consumer group. */
  readonly name: string;
  readonly dlq: string;
  readonly delivery: SinkDelivery;
  readonly client: LogClient;
  readonly membership: Membership;
  readonly assignment: Assignment;
  readonly at: TopicPartition;
}

export class SinkLedger {
  readonly #options: SinkLedgerOptions;
  #writer: TransactionalWriter | null = null;
  /** Everything before it is written or has its letter; a target that has gone back reads it again. */
  #settled = 0n;
  /** Undecodable records before it have their letters; never below `#settled`. */
  #lettered = 0n;

  constructor(options: SinkLedgerOptions) {
    this.#options = options;
  }

  /** Fences the predecessor's letters and reads what it left. */
  async open(): Promise<{ readonly offset: bigint | null; readonly pending: PendingRange | null }> {
    const { name, client, at, delivery } = this.#options;
    this.#writer = client.writer(`${name}-dlq-${at.partition}`);
    await this.#writer.fence();
    const committed = await client.committed(name, at.topic, at.partition);
    const offset = committed?.offset ?? 0n;
    const { pending, lettered } = parseMetadata(committed?.metadata ?? '');
    this.#lettered = max(lettered, offset);
    this.#settled = delivery === 'target' ? offset : this.#lettered;
    return { offset: committed?.offset ?? null, pending };
  }

  /** Whether the letter of an undecodable record is written already. */
  hasLetter(offset: bigint): boolean {
    return offset < this.#lettered;
  }

  /** Whether a record that the target refuses has been dealt with already. */
  hasSettled(offset: bigint): boolean {
    return offset < this.#settled;
  }

  /** Commits a range in this member's generation, before it is written. */
  async announce(from: bigint, range: PendingRange): Promise<void> {
    await this.#commit(from, range);
  }

  /** Commits an offset, in one transaction with the letters. All undecodable records before `lettered` have theirs then. */
  async settle(letters: readonly Letter[], upTo: bigint, lettered = upTo): Promise<void> {
    const { name, dlq, at, delivery } = this.#options;
    this.#settled = max(this.#settled, upTo);
    this.#lettered = max(this.#lettered, lettered);
    // Where the target keeps the position, Kafka's offset says only what is settled, and that never goes back.
    const offset = delivery === 'target' ? this.#settled : upTo;
    if (letters.length === 0) {
      await this.#commit(offset, null);
      return;
    }
    const output = this.#writer!.batch(dlq, 0);
    for (const { record, error } of letters) {
      const letter = { reason: error.code, message: error.message, stage: name, ...at };
      appendDeadLetter(output, record, letter);
    }
    await this.#writer!.commit([output], { group: name, ...at, offset, metadata: this.#metadata(offset, null) });
  }

  async close(): Promise<void> {
    await this.#writer?.close();
    this.#writer = null;
  }

  async #commit(offset: bigint, pending: PendingRange | null): Promise<void> {
    const { membership, assignment, at } = this.#options;
    const metadata = this.#metadata(offset, pending);
    await membership.commit(assignment.generation, at, { offset, metadata });
  }

  #metadata(offset: bigint, pending: PendingRange | null): string {
    const range = pending === null ? {} : { to: String(pending.to), generation: pending.generation };
    const ahead = this.#lettered > offset ? { lettered: String(this.#lettered) } : {};
    const fields = { ...range, ...ahead };
    return Object.keys(fields).length === 0 ? '' : JSON.stringify(fields);
  }
}

const max = (a: bigint, b: bigint) => (a > b ? a : b);

function parseMetadata(metadata: string): { readonly pending: PendingRange | null; readonly lettered: bigint } {
  if (metadata === '') return { pending: null, lettered: 0n };
  const { to, generation, lettered } = JSON.parse(metadata) as { to?: string; generation?: number; lettered?: string };
  const pending = to === undefined || generation === undefined ? null : { to: BigInt(to), generation };
  return { pending, lettered: BigInt(lettered ?? 0) };
}
