/**
 * Which broker coordinates a group or a transactional id, asked once and remembered while that broker answers for it. kafkajs asks before
 * every request: with short transactions that was more than a quarter of all requests to a broker.
 */
import { isKafka, kafkaError } from './errors.ts';

export type CoordinatorKind = 'group' | 'transaction';

export interface CoordinatorLookup<B> {
  /** Asks the cluster, with its own retries. */
  find(kind: CoordinatorKind, id: string): Promise<B>;
  /** The broker of a node id, connected; rejects when it cannot be had. */
  broker(nodeId: number): Promise<B>;
}

/** A broker that answers so has done nothing: the question may go to another, even one that must not be asked twice. */
const ELSEWHERE = 'NOT_COORDINATOR_FOR_GROUP';

export class Coordinators<B extends { readonly nodeId: number }> {
  readonly #lookup: CoordinatorLookup<B>;
  readonly #known = new Map<string, number>();

  constructor(lookup: CoordinatorLookup<B>) {
    this.#lookup = lookup;
  }

  /**
   * Puts a question to the coordinator. Throws what the question throws; after any error the coordinator is looked for anew the next time.
   */
  async ask<T>(kind: CoordinatorKind, id: string, question: (coordinator: B) => Promise<T>): Promise<T> {
    const key = `${kind} ${id}`;
    const known = await this.#remembered(key);
    if (known !== null) {
      try {
        return await question(known);
      } catch (error) {
        this.#known.delete(key);
        if (!isKafka(kafkaError(error, `ask the coordinator of ${id}`), ELSEWHERE)) throw error;
      }
    }
    const coordinator = await this.#lookup.find(kind, id);
    const answer = await question(coordinator);
    this.#known.set(key, coordinator.nodeId);
    return answer;
  }

  async #remembered(key: string): Promise<B | null> {
    const nodeId = this.#known.get(key);
    if (nodeId === undefined) return null;
    try {
      return await this.#lookup.broker(nodeId);
    } catch {
      // Nothing was asked yet: looking for the coordinator tells what is wrong.
      this.#known.delete(key);
      return null;
    }
  }
}
