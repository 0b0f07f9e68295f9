/**
 * The record of what operators do: who, when, what with which arguments, and how it ended.
 *
 * Invariant: what changes anything has its `started` record in Kafka before the change. The topic is the record; ClickHouse holds a
 * copy for questions, which every command brings up to date from where the copy ends, so a ClickHouse that was down misses nothing.
 */
import { hostname, userInfo } from 'node:os';
import type { ClickHouseClient } from '@clickhouse/client';
import { type ClickHouseConfig, clickHouseClient, selectRows } from '../../connectors/clickhouse/client.ts';
import { clickHouseError } from '../../connectors/clickhouse/errors.ts';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import type { KafkaOptions } from '../../connectors/kafka/cluster.ts';
import { appendRecords } from '../../connectors/kafka/plain.ts';
import { readToEnd } from '../../engine/restore.ts';
import { AUDIT_TOPIC } from './topics.ts';

/** `incomplete`: ended, with something left to look at. */
export type OperationOutcome = 'done' | 'incomplete' | 'dry-run' | 'declined' | 'interrupted' | 'failed';

export interface AuditRun {
  readonly runId: string;
  readonly command: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface AuditEnd {
  readonly outcome: OperationOutcome;
  readonly message: string;
  readonly result: unknown;
}

/** One record of the topic: JSON, so that it can be read with any tool when nothing else works. */
interface AuditRecord {
  readonly run_id: string;
  readonly at: string;
  readonly phase: 'started' | 'ended';
  readonly command: string;
  readonly actor: string;
  readonly host: string;
  readonly arguments: string;
  readonly outcome: OperationOutcome | '';
  readonly message: string;
  readonly result: string;
}

const MAX_TEXT = 20_000;

/** Records carry counts and positions as bigint. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item)) ?? 'null';
}

function actorOf(env: NodeJS.ProcessEnv): string {
  if (env.SLUICE_OPERATOR) return env.SLUICE_OPERATOR;
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`; // a container's user without a name
  }
}

export class Audit {
  readonly #kafka: KafkaOptions;
  readonly #clickHouse: ClickHouseConfig;
  readonly #actor: string;

  constructor(options: {
    readonly kafka: KafkaOptions;
    readonly clickHouse: ClickHouseConfig;
    readonly env: NodeJS.ProcessEnv;
  }) {
    this.#kafka = options.kafka;
    this.#clickHouse = { ...options.clickHouse, requestTimeoutMs: 10_000 };
    this.#actor = actorOf(options.env);
  }

  async started(run: AuditRun): Promise<void> {
    await this.#append(run, 'started', { outcome: '', message: '', result: '' });
  }

  async ended(run: AuditRun, { outcome, message, result }: AuditEnd): Promise<void> {
    const text = jsonText(result);
    // A result cut in half would be no JSON.
    const kept = text.length > MAX_TEXT ? jsonText({ omitted: `${text.length} characters` }) : text;
    await this.#append(run, 'ended', { outcome, message: message.slice(0, MAX_TEXT), result: kept });
  }

  async #append(
    run: AuditRun,
    phase: AuditRecord['phase'],
    end: Pick<AuditRecord, 'outcome' | 'message' | 'result'>,
  ): Promise<void> {
    const now = new Date();
    const record: AuditRecord = {
      run_id: run.runId,
      at: now.toISOString(),
      phase,
      command: run.command,
      actor: this.#actor,
      host: hostname(),
      arguments: jsonText(run.arguments),
      ...end,
    };
    const value = Buffer.from(JSON.stringify(record));
    const key = Buffer.from(run.runId);
    await appendRecords(this.#kafka, AUDIT_TOPIC, [
      { partition: 0, key, value, headers: [], timestampMs: now.getTime() },
    ]);
  }

  /** Copies what ClickHouse does not hold yet. Two at once write the same rows, which are one row to who reads. */
  async copyToClickHouse(): Promise<void> {
    const clickHouse = clickHouseClient(this.#clickHouse);
    const kafka = new KafkaClient(this.#kafka);
    try {
      const [held] = await selectRows<{ next: string }>(
        clickHouse,
        'SELECT if(count() = 0, 0, max(source_offset) + 1) AS next FROM sluice_audit',
      );
      await copyFrom(kafka, clickHouse, BigInt(held!.next));
    } catch (error) {
      throw clickHouseError(error, 'copy the audit records to ClickHouse');
    } finally {
      await Promise.all([kafka.close(), clickHouse.close()]);
    }
  }
}

async function copyFrom(kafka: KafkaClient, clickHouse: ClickHouseClient, next: bigint): Promise<void> {
  const earliest = (await kafka.offsets(AUDIT_TOPIC, [0], 'earliest')).get(0) ?? 0n;
  const end = (await kafka.offsets(AUDIT_TOPIC, [0], 'lastStable')).get(0) ?? 0n;
  const from = next > earliest ? next : earliest;
  const reader = kafka.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 4 << 20 });
  try {
    await readToEnd(reader, { topic: AUDIT_TOPIC, partition: 0, from, end }, async ({ records }) => {
      const values = records.flatMap(({ offset, value }) => {
        const record = auditRecord(value);
        return record === null ? [] : [{ source_offset: String(offset), ...record }];
      });
      if (values.length === 0) return;
      await clickHouse.insert({
        table: 'sluice_audit',
        values,
        format: 'JSONEachRow',
        clickhouse_settings: { async_insert: 0, date_time_input_format: 'best_effort' },
      });
    });
  } finally {
    await reader.close();
  }
}

/** null for what nobody of ours wrote. */
function auditRecord(value: Buffer | null): AuditRecord | null {
  try {
    const record = JSON.parse(value?.toString() ?? '') as AuditRecord;
    return typeof record.run_id === 'string' ? record : null;
  } catch {
    return null;
  }
}
