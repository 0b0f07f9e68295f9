/** The options that all dlq commands share, and what they open. */
import type { Command } from 'commander';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { kafkaOptions } from '../../pipelines/config.ts';
import { ENGAGEMENT_DLQ } from '../../pipelines/engagement/dlq.ts';
import { DlqCatalogue } from '../../pipelines/operations/dlq/catalogue.ts';
import type { LetterFilter } from '../../pipelines/operations/dlq/filter.ts';
import { type LetterState, RESOLUTIONS } from '../../pipelines/operations/dlq/letter.ts';
import type { DlqPipeline } from '../../pipelines/operations/dlq/pipeline.ts';
import { badArgument, timeOf } from '../support/arguments.ts';
import type { OperationContext, OperationFlags } from '../support/operation.ts';

export interface FilterOptions extends OperationFlags {
  readonly reason?: readonly string[];
  readonly stage?: string;
  readonly key?: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly state?: LetterState | 'all';
}

/** Every pipeline that has dead letters. */
const PIPELINES: readonly DlqPipeline[] = [ENGAGEMENT_DLQ];
const STATES: readonly string[] = ['open', ...RESOLUTIONS, 'all'];
const REASONS = new Set(PIPELINES.flatMap(({ reasons }) => Object.keys(reasons)));

export function filterOptions(command: Command, { states }: { readonly states: boolean }): Command {
  command
    .option('--reason <reason>', 'only this reason; may be given again', reasonOf, [])
    .option('--stage <name>', 'only letters of this worker, e.g. engagement.enrich')
    .option(
      '--key <value>',
      'only letters whose key holds this value (the id of a row or a content), or is it (text or hex)',
    )
    .option('--since <time>', 'only letters written from this time on', timeOf('since'))
    .option('--until <time>', 'only letters written before this time', timeOf('until'));
  if (states) command.option('--state <state>', STATES.join(', '), stateOf, 'open');
  return command;
}

function reasonOf(text: string, before: readonly string[]): readonly string[] {
  if (REASONS.has(text)) return [...before, text];
  throw badArgument(`--reason ${text} is none of ${[...REASONS].join(', ')}`);
}

function stateOf(text: string): string {
  if (STATES.includes(text)) return text;
  throw badArgument(`--state ${text} is none of ${STATES.join(', ')}`);
}

/** @param ids letter ids or sources, as given */
export function filterOf(options: FilterOptions, ids: readonly string[]): LetterFilter {
  for (const id of ids) {
    if (/^\d{1,18}$/.test(id) || /^[\w.-]+:\d{1,9}:\d{1,18}$/.test(id)) continue;
    throw badArgument(`${id} is no letter: give its id, or where it came from as topic:partition:offset`);
  }
  const { reason = [], stage = null, key = null, since, until, state = 'open' } = options;
  return {
    ids,
    reasons: reason,
    stage,
    key,
    sinceMs: since?.getTime() ?? null,
    untilMs: until?.getTime() ?? null,
    state: state === 'all' ? null : state,
  };
}

export interface OpenDlq {
  readonly client: KafkaClient;
  readonly schemas: RegistryClient;
  readonly pipeline: DlqPipeline;
  /** The letters as they are now. */
  catalogue(): Promise<DlqCatalogue>;
}

/** A killed command must not hold up the captured topics for longer than this. */
const TRANSACTION_MS = 5_000;

export async function withDlq<T>({ config, signal }: OperationContext, work: (dlq: OpenDlq) => Promise<T>): Promise<T> {
  const client = new KafkaClient({ ...kafkaOptions(config, 'sluice-dlq'), transactionTimeoutMs: TRANSACTION_MS });
  const schemas = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  const [pipeline] = PIPELINES as readonly [DlqPipeline];
  const { topic } = pipeline;
  try {
    const catalogue = async () => await DlqCatalogue.open(client, { topic, schemas, signal });
    return await work({ client, schemas, pipeline, catalogue });
  } finally {
    await client.close();
  }
}
