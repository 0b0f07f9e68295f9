import { describe, expect, it } from 'vitest';
import { Coordinators } from '../../../connectors/kafka/coordinators.ts';

interface Broker {
  readonly nodeId: number;
}

/** A cluster whose coordinator moves, and whose brokers can be away. */
function cluster() {
  const state = { coordinator: 1, finds: 0, away: new Set<number>() };
  const coordinators = new Coordinators<Broker>({
    find: async () => {
      state.finds++;
      return { nodeId: state.coordinator };
    },
    broker: async (nodeId) => {
      if (state.away.has(nodeId)) throw new Error('ECONNREFUSED');
      return { nodeId };
    },
  });
  const asked: number[] = [];
  /** Answered by the coordinator of the moment alone. */
  const question = async ({ nodeId }: Broker) => {
    asked.push(nodeId);
    if (nodeId !== state.coordinator) {
      throw Object.assign(new Error('not the coordinator'), { type: 'NOT_COORDINATOR_FOR_GROUP' });
    }
    return nodeId;
  };
  return { state, coordinators, asked, question };
}

describe('the coordinator', () => {
  it('is looked for once while it answers, for each group and each transactional id', async () => {
    const { state, coordinators, question } = cluster();
    for (let n = 0; n < 3; n++) await coordinators.ask('group', 'a', question);
    expect(state.finds).toBe(1);
    await coordinators.ask('group', 'b', question);
    await coordinators.ask('transaction', 'a', question);
    expect(state.finds).toBe(3);
  });

  it('is found where it has moved to, with the question put again', async () => {
    const { state, coordinators, asked, question } = cluster();
    await coordinators.ask('group', 'a', question);
    state.coordinator = 2;
    expect(await coordinators.ask('group', 'a', question)).toBe(2);
    expect(asked).toEqual([1, 1, 2]);
    await coordinators.ask('group', 'a', question);
    expect([state.finds, asked.at(-1)]).toEqual([2, 2]);
  });

  it('is looked for anew after any other error, and the question is not put again', async () => {
    const { state, coordinators, asked, question } = cluster();
    await coordinators.ask('group', 'a', question);
    const lost = new Error('connection closed');
    const failing = coordinators.ask('group', 'a', async (broker) => {
      await question(broker);
      throw lost;
    });
    await expect(failing).rejects.toBe(lost);
    expect([state.finds, asked]).toEqual([1, [1, 1]]);
    await coordinators.ask('group', 'a', question);
    expect(state.finds).toBe(2);
  });

  it('is looked for where the one remembered cannot be reached', async () => {
    const { state, coordinators, asked, question } = cluster();
    await coordinators.ask('group', 'a', question);
    state.away.add(1);
    state.coordinator = 2;
    expect(await coordinators.ask('group', 'a', question)).toBe(2);
    expect(asked).toEqual([1, 2]);
  });

  it('is not remembered before it has answered', async () => {
    const { state, coordinators, question } = cluster();
    await expect(coordinators.ask('group', 'a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await coordinators.ask('group', 'a', question);
    expect(state.finds).toBe(2);
  });
});
