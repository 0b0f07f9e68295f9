/**
 * Tells a pipeline what is true of some rows: operator records in their captured topic (docs/architecture.md).
 *
 * Invariant: the end of each partition is asked before the snapshot is taken in which the rows are looked up. So a change that the records do not
 * know of stands behind that end, and the stage lets the record go in its favour.
 */
import type { KafkaOptions } from '../../connectors/kafka/cluster.ts';
import { appendRecords, type PlainRecord } from '../../connectors/kafka/plain.ts';
import { PostgresPool, type Sql } from '../../connectors/postgres/pool.ts';
import { withExportedSnapshot } from '../../connectors/postgres/snapshot.ts';
import type { LogClient } from '../../engine/log.ts';
import { type NewestSchemas, OperatorEnvelopes, type OperatorRow } from '../capture/operator-envelope.ts';
import { type OperatorOrigin, operatorHeaders } from './operator-record.ts';

export interface TellingOptions {
  readonly postgresUrl: string;
  readonly kafka: KafkaOptions;
  readonly log: LogClient;
  readonly schemas: NewestSchemas;
  /** The captured one. */
  readonly topic: string;
  readonly origin: OperatorOrigin;
  readonly runId: string;
}

/** What is said of a row: how it is, or that it is not there. */
export interface ToldRow {
  readonly op: 'upsert' | 'delete';
  readonly row: OperatorRow;
  readonly partition: number;
  /** Published again even where it is what is known already. */
  readonly force: boolean;
}

const RECORDS_PER_APPEND = 500;

/**
 * Appends what `truth` finds in a snapshot. Telling it twice changes nothing. Throws as `withExportedSnapshot`, `postgresError` and
 * `appendRecords`.
 */
export async function tellTruth(
  options: TellingOptions,
  truth: (sql: Sql, partitions: number) => Promise<readonly ToldRow[]>,
): Promise<void> {
  const { postgresUrl: url, kafka, log, schemas, topic, origin, runId } = options;
  const applicationName = `sluice-${origin}`;
  const envelopes = await OperatorEnvelopes.open(schemas, topic);
  const partitions = Array.from({ length: await log.partitions(topic) }, (_, partition) => partition);
  const ends = await log.offsets(topic, partitions, 'lastStable');
  const pool = new PostgresPool({ url, applicationName, maxConnections: 1 });
  try {
    const exporting = { url, applicationName, createTimeoutMs: 120_000 };
    const records = await withExportedSnapshot(exporting, async ({ lsn, snapshotName }) => {
      const work = async (sql: Sql): Promise<readonly PlainRecord[]> => {
        const { rows } = await sql.query<{ ms: bigint }>('SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms');
        const timeMs = Number(rows[0]!.ms);
        return (await truth(sql, partitions.length)).map(({ op, row, partition, force }) => {
          const headers = operatorHeaders({ origin, runId, scannedTo: ends.get(partition) ?? 0n, force });
          return { partition, headers, timestampMs: timeMs, ...envelopes.encode({ op, row, lsn, timeMs }) };
        });
      };
      return await pool.transaction(work, { kind: 'snapshot', snapshotName });
    });
    for (let at = 0; at < records.length; at += RECORDS_PER_APPEND) {
      await appendRecords(kafka, topic, records.slice(at, at + RECORDS_PER_APPEND));
    }
  } finally {
    await pool.close();
  }
}
