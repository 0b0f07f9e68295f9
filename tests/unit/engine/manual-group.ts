/** A consumer group in the hands of a test: it says what is assigned and revoked. */
import { pino } from 'pino';
import type { Assignment, Membership, MembershipHandlers } from '../../../engine/log.ts';
import { MemoryLog } from '../../support/memory-log.ts';

export const SILENT = pino({ level: 'silent' });

export class ManualGroup implements Membership {
  #handlers: MembershipHandlers | null = null;
  readonly #ended = Promise.withResolvers<void>();

  run(handlers: MembershipHandlers): Promise<void> {
    this.#handlers = handlers;
    return this.#ended.promise;
  }

  get joined(): boolean {
    return this.#handlers !== null;
  }

  assign(assignment: Assignment): void {
    this.#handlers!.assigned(assignment);
  }

  async revoke(): Promise<void> {
    await this.#handlers!.revoked();
  }

  fail(error: Error): void {
    this.#ended.reject(error);
  }

  async commit(): Promise<void> {}

  async stop(): Promise<void> {
    this.#ended.resolve();
  }
}

/** A log whose groups are all the given one. */
export function logWith(group: ManualGroup): MemoryLog {
  return new (class extends MemoryLog {
    override membership(): Membership {
      return group;
    }
  })();
}
