/**
 * Membership of a consumer group (the classic protocol, eager): https://kafka.apache.org/protocol#The_Messages_JoinGroup
 *
 *   joining ──assigned──► stable ──rebalance──► revoking ──► joining
 *                           └── session lost ──► revoking (as a new member)
 *
 * Partitions are handed out evenly, and a member keeps what it had where that is fair, so that local stores stay useful.
 */
import type { Membership, MembershipHandlers, OffsetAndMetadata } from '../../engine/log.ts';
import { type Claim, decodeAssignment, decodeClaim, encodeAssignment, encodeClaim, share } from './assignment.ts';
import type { JoinedGroup, KafkaCluster } from './cluster.ts';
import { isKafka, kafkaError } from './errors.ts';

const PROTOCOL = 'sluice-sticky';

export interface MembershipOptions {
  readonly group: string;
  readonly topic: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatMs: number;
}

const REJOIN = ['REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID'] as const;

export class KafkaMembership implements Membership {
  readonly #cluster: KafkaCluster;
  readonly #options: MembershipOptions;
  #memberId = '';
  #generation = -1;
  #owned: readonly number[] = [];
  #stopping = false;
  #wake: (() => void) | null = null;
  #ended: Promise<void> = Promise.resolve();

  /** Owns the cluster: a JoinGroup blocks its connection until the group is complete. */
  constructor(cluster: KafkaCluster, options: MembershipOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  run(handlers: MembershipHandlers): Promise<void> {
    this.#ended = this.#loop(handlers);
    return this.#ended;
  }

  async commit(
    generation: number,
    at: { readonly topic: string; readonly partition: number },
    { offset, metadata }: OffsetAndMetadata,
  ): Promise<void> {
    const { group } = this.#options;
    const { topic, partition } = at;
    try {
      const request = {
        groupId: group,
        groupGenerationId: generation,
        memberId: this.#memberId,
        topics: [{ topic, partitions: [{ partition, offset: String(offset), metadata }] }],
      };
      await this.#cluster.askGroup(group, (coordinator) => coordinator.offsetCommit(request));
    } catch (error) {
      throw kafkaError(error, `commit ${topic}-${partition} at ${offset}`);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake?.();
    await this.#ended.catch(() => {});
    await this.#cluster.close();
  }

  async #loop(handlers: MembershipHandlers): Promise<void> {
    let failures = 0;
    while (!this.#stopping) {
      try {
        await this.#join();
        failures = 0;
        handlers.assigned({ generation: this.#generation, partitions: this.#owned });
        try {
          await this.#stayAlive();
        } finally {
          await handlers.revoked();
        }
      } catch (raw) {
        const error = kafkaError(raw, `group ${this.#options.group}`);
        if (isKafka(error, 'UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID')) this.#memberId = '';
        if (error.action === 'fatal') throw error;
        if (!isKafka(error, ...REJOIN)) {
          failures++;
          await this.#pause(Math.min(2_000, 50 * 2 ** Math.min(failures, 6)));
          await this.#cluster.refresh().catch(() => {});
        }
      }
    }
    await this.#leave();
  }

  async #join(): Promise<void> {
    const { group, topic, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    await this.#cluster.know(topic);
    const request = {
      groupId: group,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      memberId: this.#memberId,
      groupProtocols: [{ name: PROTOCOL, metadata: encodeClaim(topic, this.#owned) }],
    };
    const joined = await this.#cluster.askGroup(group, (coordinator) => coordinator.joinGroup(request));
    this.#memberId = joined.memberId;
    this.#generation = joined.generationId;
    const groupAssignment = joined.leaderId === joined.memberId ? await this.#assign(joined) : [];
    const { generationId, memberId } = joined;
    const answer = { groupId: group, generationId, memberId, groupAssignment };
    const synced = await this.#cluster.askGroup(group, (coordinator) => coordinator.syncGroup(answer));
    this.#owned = decodeAssignment(synced.memberAssignment);
  }

  async #assign(joined: JoinedGroup): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    const { topic } = this.#options;
    await this.#cluster.refresh();
    const count = await this.#cluster.partitionCount(topic);
    const claims: Claim[] = joined.members.map(({ memberId, memberMetadata }) => ({
      memberId,
      owned: decodeClaim(memberMetadata),
    }));
    return [...share(count, claims)].map(([memberId, partitions]) => ({
      memberId,
      memberAssignment: encodeAssignment(topic, partitions),
    }));
  }

  /** Heartbeats until the group moves on. A session that cannot be kept alive ends by its timeout at the broker. */
  async #stayAlive(): Promise<void> {
    const { group, heartbeatMs, sessionTimeoutMs } = this.#options;
    let alive = Date.now();
    while (!this.#stopping) {
      await this.#pause(heartbeatMs);
      if (this.#stopping) return;
      try {
        const request = { groupId: group, groupGenerationId: this.#generation, memberId: this.#memberId };
        await this.#cluster.askGroup(group, (coordinator) => coordinator.heartbeat(request));
        alive = Date.now();
      } catch (raw) {
        const error = kafkaError(raw, `heartbeat of ${group}`);
        if (isKafka(error, ...REJOIN) || Date.now() - alive > sessionTimeoutMs) throw error;
        await this.#cluster.refresh().catch(() => {});
      }
    }
  }

  async #leave(): Promise<void> {
    if (this.#memberId === '') return;
    const { group } = this.#options;
    try {
      const request = { groupId: group, memberId: this.#memberId };
      await this.#cluster.askGroup(group, (coordinator) => coordinator.leaveGroup(request));
    } catch {
      // The session timeout does the same later.
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#stopping) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }
}
