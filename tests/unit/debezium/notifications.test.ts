import { describe, expect, it } from 'vitest';
import { snapshotNoticeDecoder } from '../../../connectors/debezium/notifications.ts';
import { snapshotSignal } from '../../../connectors/debezium/signals.ts';
import { avscType, framed, schemasById } from '../codec/debezium.ts';

/** As the connector registers it. */
const SCHEMA = {
  type: 'record',
  name: 'Notification',
  namespace: 'io.debezium.connector.common',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'type', type: 'string' },
    { name: 'aggregate_type', type: 'string' },
    { name: 'additional_data', type: ['null', { type: 'map', values: 'string' }], default: null },
    { name: 'timestamp', type: 'long' },
  ],
} as const;

const type = avscType(SCHEMA);

async function decoded(
  kind: string,
  data: Readonly<Record<string, string>> | null,
  aggregate = 'Incremental Snapshot',
) {
  const bytes = framed(
    11,
    type.toBuffer({
      id: 'signal-1',
      type: kind,
      aggregate_type: aggregate,
      additional_data: data === null ? null : { map: data },
      timestamp: 1n,
    }),
  );
  const decoder = snapshotNoticeDecoder(schemasById({ 11: SCHEMA }));
  await decoder.prepare([bytes]);
  return decoder.decode(bytes);
}

describe('a notification', () => {
  it('tells how far a snapshot is', async () => {
    const data = { connector_name: 'cdc', total_rows: '4000', chunk_index: '1', total_chunks: '2' };
    expect(await decoded('IN_PROGRESS', data)).toEqual({
      signalId: 'signal-1',
      kind: 'progress',
      rows: 4_000,
      chunk: 1,
      chunks: 2,
    });
    const scanned = { scanned_collection: 'public.engagement_events', total_rows_scanned: '4000', status: 'SUCCEEDED' };
    expect(await decoded('TABLE_SCAN_COMPLETED', scanned)).toEqual({
      signalId: 'signal-1',
      kind: 'scanned',
      rows: 4_000,
      status: 'SUCCEEDED',
    });
    expect(await decoded('STARTED', {})).toEqual({ signalId: 'signal-1', kind: 'started' });
    expect(await decoded('COMPLETED', null)).toEqual({ signalId: 'signal-1', kind: 'completed' });
    expect(await decoded('PAUSED', null)).toEqual({ signalId: 'signal-1', kind: 'other', type: 'PAUSED' });
  });

  it('about something else is passed over', async () => {
    expect(await decoded('COMPLETED', null, 'Initial Snapshot')).toBeNull();
  });
});

describe('the signal of a snapshot', () => {
  it('names one table, its condition and the column of its chunks', () => {
    const signal = snapshotSignal({ id: 'x', table: 'public.t', filter: 'id > 1', chunkBy: 'id' });
    expect({ ...signal, data: JSON.parse(signal.data) }).toEqual({
      id: 'x',
      type: 'execute-snapshot',
      data: {
        type: 'incremental',
        'data-collections': ['public.t'],
        'surrogate-key': 'id',
        'additional-conditions': [{ 'data-collection': 'public.t', filter: 'id > 1' }],
      },
    });
    const whole = JSON.parse(snapshotSignal({ id: 'x', table: 'public.t', filter: null, chunkBy: 'id' }).data);
    expect(whole).not.toHaveProperty('additional-conditions');
  });
});
