/** The options that all dlq commands share, and what they open. */
import { type Command, Option } from 'commander';
import { existingTopics } from '../../connectors/kafka/admin.ts';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { kafkaOptions } from '../../pipelines/config.ts';
import { ENGAGEMENT_DLQ } from '../../pipelines/engagement/dlq.ts';
import { DlqCatalogue } from '../../pipelines/operations/dlq/catalogue.ts';
import type { LetterFilter } from '../../pipelines/operations/dlq/filter.ts';
import { type LetterState, RESOLUTIONS } from '../../pipelines/operations/dlq/letter.ts';
import type { DlqPipeline } from '../../pipelines/operations/dlq/pipeline.ts';
import { PRICES_DLQ } from '../../pipelines/prices/dlq.ts';
import { badArgument, timeOf } from '../support/arguments.ts';
import type { OperationContext, OperationFlags } from '../support/operation.ts';

export interface PipelineOptions extends OperationFlags {
  readonly pipeline?: string;
}

export interface FilterOptions extends PipelineOptions {
  readonly reason?: readonly string[];
  readonly stage?: string;
  readonly key?: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly state?: LetterState | 'all';
}

/** Every pipeline that has dead letters. */
const PIPELINES: readonly DlqPipeline[] = [ENGAGEMENT_DLQ, PRICES_DLQ];
const STATES: readonly string[] = ['open', ...RESOLUTIONS, 'all'];
const REASONS = new Set(PIPELINES.flatMap(({ reasons }) => Object.keys(reasons)));

export function pipelineOption(command: Command): Command {
  const names = PIPELINES.map(({ name }) => name);
  return command.addOption(
    new Option('--pipeline <name>', 'only letters of this pipeline; else of all').choices(names),
  );
}

export function filterOptions(command: Command, { states }: { readonly states: boolean }): Command {
  pipelineOption(command)
    .option('--reason <reason>', 'only this reason; may be given again', reasonOf, [])
    .option('--stage <name>', 'only letters of this worker, e.g. engagement.enrich or prices.candles')
    .option(
      '--key <value>',
      'only letters whose key holds this value (the id of a row, a content, a stock), or is it (text or hex)',
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

/** The pipelines that a command is about: the one it names, else all. */
export function pipelinesOf({ pipeline }: PipelineOptions): readonly DlqPipeline[] {
  return PIPELINES.filter(({ name }) => pipeline === undefined || name === pipeline);
}

/** A bare id is an offset in one pipeline's topic: what changes a letter must not guess in whose. Throws ARGUMENT_INVALID. */
export function unmistakable(ids: readonly string[], options: PipelineOptions): void {
  const bare = ids.find((id) => !id.includes(':'));
  if (bare === undefined || options.pipeline !== undefined) return;
  const names = PIPELINES.map(({ name }) => name).join(' or ');
  throw badArgument(`${bare} may be a letter of ${names}: add --pipeline, or name it as topic:partition:offset`);
}

/** The dead letters of one pipeline. */
export interface OpenDlq {
  readonly client: KafkaClient;
  readonly schemas: RegistryClient;
  readonly pipeline: DlqPipeline;
  /** The letters as they are now. */
  catalogue(): Promise<DlqCatalogue>;
}

/** A killed command must not hold up the captured topics for longer than this. */
const TRANSACTION_MS = 5_000;

/** Does the work for each of the pipelines, one after the other. Of several, one that was never deployed here is passed over. */
export async function withDlqs<T>(
  context: OperationContext,
  asked: readonly DlqPipeline[],
  work: (dlq: OpenDlq) => Promise<T>,
): Promise<readonly T[]> {
  const { config, signal } = context;
  const pipelines = asked.length > 1 ? await deployed(context, asked) : asked;
  const client = new KafkaClient({ ...kafkaOptions(config, 'sluice-dlq'), transactionTimeoutMs: TRANSACTION_MS });
  const schemas = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  const results: T[] = [];
  try {
    for (const pipeline of pipelines) {
      const { topic } = pipeline;
      const catalogue = async () => await DlqCatalogue.open(client, { topic, schemas, signal });
      results.push(await work({ client, schemas, pipeline, catalogue }));
    }
    return results;
  } finally {
    await client.close();
  }
}

async function deployed({ config, say }: OperationContext, asked: readonly DlqPipeline[]) {
  const topics = asked.map(({ topic }) => topic);
  return withTopic(asked, await existingTopics(kafkaOptions(config, 'sluice-dlq'), topics), say);
}

/** Those whose topic exists; the others are told. With none there is nothing to pass over to: the one that is asked first says what is wrong. */
export function withTopic<P extends Pick<DlqPipeline, 'name' | 'topic'>>(
  asked: readonly P[],
  existing: ReadonlySet<string>,
  say: (line: string) => void,
): readonly P[] {
  if (existing.size === 0) return asked;
  for (const { name, topic } of asked)
    if (!existing.has(topic)) say(`${name}: there is no topic ${topic}: passed over`);
  return asked.filter(({ topic }) => existing.has(topic));
}
