/** `dlq redrive|discard`. */
import type { Command } from 'commander';
import type { LetterFilter } from '../../pipelines/operations/dlq/filter.ts';
import type { DlqPipeline, SinkRedrive } from '../../pipelines/operations/dlq/pipeline.ts';
import {
  discard,
  operatorWriter,
  type RedriveCounts,
  redrive,
  supersededOf,
} from '../../pipelines/operations/dlq/redrive.ts';
import {
  LEFT,
  type LeftReason,
  type Selection,
  type SelectOptions,
  select,
} from '../../pipelines/operations/dlq/selection.ts';
import { badArgument, countOf } from '../support/arguments.ts';
import { type OperationContext, operationFlags, runOperation } from '../support/operation.ts';
import {
  type FilterOptions,
  filterOf,
  filterOptions,
  type OpenDlq,
  pipelinesOf,
  unmistakable,
  withDlqs,
} from './options.ts';

interface RedriveOptions extends FilterOptions {
  readonly limit: number;
  readonly rate: number;
  readonly maxAttempts: number;
}

const MAX_LETTERS = 200_000;

export function addChangingCommands(program: Command): void {
  addRedrive(program);
  addDiscard(program);
}

function addRedrive(program: Command): void {
  const command = program
    .command('redrive')
    .description(
      'Writes open letters back to where they came from: all that match, or some. Safe to repeat and to interrupt.',
    );
  filterOptions(operationFlags(command.argument('[ids...]'), { changes: true }), { states: false })
    .option('--limit <n>', 'at most so many of a pipeline, the oldest first', countOf('limit'), MAX_LETTERS)
    .option('--rate <n>', 'records a second', countOf('rate'), 500)
    .option('--max-attempts <n>', 'leave letters alone that were tried so often', countOf('max-attempts'), 3)
    .addHelpText(
      'after',
      '\nExamples:\n  npm run dlq -- redrive --reason UNKNOWN_CONTENT --dry-run\n  npm run dlq -- redrive --reason UNKNOWN_CONTENT --rate 200 --yes\n  npm run dlq -- redrive 17 18 --pipeline prices',
    )
    .action(async (ids: string[], options: RedriveOptions) => {
      const filter = filterOf(options, ids);
      if (options.rate < 1) throw badArgument('--rate must be 1 or more');
      if (options.limit < 1 || options.limit > MAX_LETTERS) throw badArgument(`--limit must be 1 to ${MAX_LETTERS}`);
      unmistakable(ids, options);
      await runOperation<readonly DlqPipeline[]>({
        ...{ command: 'dlq redrive', arguments: { ids, ...options }, flags: options, unit: 'letters' },
        plan: async (context) => {
          const plans = await withDlqs(context, pipelinesOf(options), async (dlq) => {
            const selection = await select(await dlq.catalogue(), asked(dlq, context, filter, options));
            return { pipeline: dlq.pipeline, selection, superseded: await supersededOf(selection) };
          });
          const found = plans.reduce((sum, { selection }) => sum + selection.candidates.size, 0);
          const superseded = plans.reduce((sum, plan) => sum + plan.superseded, 0);
          const rest = restOf(plans.map(({ selection }) => selection));
          const lines = [
            `${found - superseded} letters would be written back, at ${options.rate} a second`,
            `${superseded} are superseded: their rows have changed since; they would be marked so`,
            ...leftLines(rest),
          ];
          const data = plans.filter(({ selection }) => selection.candidates.size > 0).map(({ pipeline }) => pipeline);
          return { data, lines, report: { redriven: found - superseded, superseded, ...rest }, nothing: found === 0 };
        },
        execute: async (pipelines, context) => {
          const done = await withDlqs(
            context,
            pipelines,
            async (dlq) => await redriveAll(dlq, context, filter, options),
          );
          const counts = { redriven: 0, superseded: 0, refused: 0 };
          for (const { counts: of } of done) for (const name of COUNTED) counts[name] += of[name];
          const rest = restOf(done);
          const again = `${counts.refused} were refused by their sink again and stay open: mend the target first`;
          const left = [...(counts.refused === 0 ? [] : [again]), ...leftLines(rest)];
          const lines = [`${counts.redriven} letters written back, ${counts.superseded} superseded`, ...left];
          return { lines, report: { ...counts, ...rest }, complete: left.length === 0 };
        },
      });
    });
}

const COUNTED = ['redriven', 'superseded', 'refused'] as const satisfies readonly (keyof RedriveCounts)[];

const asked = (
  dlq: OpenDlq,
  context: OperationContext,
  filter: LetterFilter,
  options: RedriveOptions,
): SelectOptions => ({
  ...{ client: dlq.client, pipeline: dlq.pipeline, signal: context.signal, filter },
  ...{ maxAttempts: options.maxAttempts, limit: options.limit },
});

async function redriveAll(dlq: OpenDlq, context: OperationContext, filter: LetterFilter, options: RedriveOptions) {
  const { client, pipeline, schemas } = dlq;
  const writer = operatorWriter(client, pipeline);
  const sinks = new Map<string, SinkRedrive>();
  const sink = (stage: string) => {
    const open = sinks.get(stage) ?? pipeline.sinks[stage]!(context.config, schemas);
    sinks.set(stage, open);
    return open;
  };
  try {
    // Before the letters are read: what another command has under way is over then.
    await writer.fence();
    const catalogue = await dlq.catalogue();
    const selection = await select(catalogue, asked(dlq, context, filter, options));
    const total = selection.candidates.size;
    const counts = await redrive({
      ...{ client, pipeline, catalogue, selection, writer, runId: context.runId, rate: options.rate },
      ...{ sink, signal: context.signal },
      progress: (done) => context.progress.update(done, total),
    });
    return { counts, left: selection.left, more: selection.more };
  } finally {
    await Promise.all([writer.close(), ...[...sinks.values()].map((one) => one.close())]);
  }
}

type Rest = Pick<Selection, 'left' | 'more'>;

/** What stays as it is in all pipelines. */
function restOf(selections: readonly Rest[]): Rest {
  const names = Object.keys(LEFT) as LeftReason[];
  const sumOf = (name: LeftReason) => selections.reduce((sum, { left }) => sum + left[name], 0);
  return {
    left: Object.fromEntries(names.map((name) => [name, sumOf(name)])) as Record<LeftReason, number>,
    more: selections.reduce((sum, { more }) => sum + more, 0),
  };
}

function leftLines({ left, more }: Rest): string[] {
  const lines = (Object.keys(LEFT) as LeftReason[])
    .filter((reason) => left[reason] > 0)
    .map((reason) => `${left[reason]} stay as they are: ${LEFT[reason]}`);
  return more === 0 ? lines : [...lines, `${more} more match: run the command again for them (--limit)`];
}

function addDiscard(program: Command): void {
  const command = program
    .command('discard')
    .description('Marks open letters as not to be redriven. Their bytes stay until the topic lets them go.');
  filterOptions(operationFlags(command.argument('[ids...]'), { changes: true }), { states: false })
    .addHelpText(
      'after',
      '\nExamples:\n  npm run dlq -- discard 17 --pipeline engagement\n  npm run dlq -- discard --reason UNDECODABLE --until 2026-01-31T00:00:00Z --dry-run',
    )
    .action(async (ids: string[], options: FilterOptions) => {
      const filter = filterOf(options, ids);
      unmistakable(ids, options);
      await runOperation<ReadonlyMap<DlqPipeline, ReadonlySet<bigint>>>({
        ...{ command: 'dlq discard', arguments: { ids, ...options }, flags: options, unit: 'letters' },
        plan: async (context) => {
          const letters = new Map<DlqPipeline, Set<bigint>>();
          let found = 0;
          await withDlqs(context, pipelinesOf(options), async ({ catalogue, pipeline }) => {
            const of = new Set<bigint>();
            await (await catalogue()).each(filter, ({ letter: { id } }) => {
              if (++found <= MAX_LETTERS) of.add(id);
            });
            if (of.size > 0) letters.set(pipeline, of);
          });
          const discarded = Math.min(found, MAX_LETTERS);
          const lines = [`${discarded} letters would be marked as discarded`];
          return { data: letters, lines, report: { discarded }, nothing: found === 0 };
        },
        execute: async (letters, context) => {
          const done = await withDlqs(context, [...letters.keys()], async (dlq) => {
            return await discardAll(dlq, context, letters.get(dlq.pipeline)!);
          });
          const discarded = done.reduce((sum, one) => sum + one, 0);
          return { lines: [`${discarded} letters discarded`], report: { discarded }, complete: true };
        },
      });
    });
}

async function discardAll(dlq: OpenDlq, context: OperationContext, ids: ReadonlySet<bigint>): Promise<number> {
  const writer = operatorWriter(dlq.client, dlq.pipeline);
  try {
    await writer.fence();
    return await discard({
      ...{ pipeline: dlq.pipeline, catalogue: await dlq.catalogue(), ids, writer },
      ...{ runId: context.runId, signal: context.signal },
      progress: (done) => context.progress.update(done, ids.size),
    });
  } finally {
    await writer.close();
  }
}
