/** `dlq list|show|stats|export`: what changes nothing. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Command } from 'commander';
import { SluiceError } from '../../engine/errors.ts';
import type { Found } from '../../pipelines/operations/dlq/catalogue.ts';
import { type Described, describe, describedLines, summary } from '../../pipelines/operations/dlq/describe.ts';
import { ANY_LETTER } from '../../pipelines/operations/dlq/filter.ts';
import type { DlqPipeline } from '../../pipelines/operations/dlq/pipeline.ts';
import { badArgument, countOf } from '../support/arguments.ts';
import { operationFlags, runReport } from '../support/operation.ts';
import {
  type FilterOptions,
  filterOf,
  filterOptions,
  type PipelineOptions,
  pipelineOption,
  pipelinesOf,
  withDlqs,
} from './options.ts';

export function addReadingCommands(program: Command): void {
  addList(program);
  addShow(program);
  addStats(program);
  addExport(program);
}

function addList(program: Command): void {
  const command = program
    .command('list')
    .description('Letters, newest first. [ids] are letter ids or topic:partition:offset.');
  filterOptions(operationFlags(command.argument('[ids...]'), { changes: false }), { states: true })
    .option('--limit <n>', 'at most so many', countOf('limit'), 50)
    .addHelpText(
      'after',
      '\nExamples:\n  npm run dlq -- list --reason UNKNOWN_CONTENT --since 2026-01-31T00:00:00Z\n  npm run dlq -- list --key 4711 --state all --json',
    )
    .action(async (ids: string[], options: FilterOptions & { readonly limit: number }) => {
      const filter = filterOf(options, ids);
      await runReport({
        ...{ command: 'dlq list', arguments: { ids, ...options }, flags: options, unit: 'letters' },
        read: async (context) => {
          const of = await withDlqs(context, pipelinesOf(options), async ({ catalogue, pipeline }) => {
            const { found, all } = await (await catalogue()).newest(filter, options.limit);
            return {
              all,
              letters: found.map((one) => ({ pipeline: pipeline.name, ...summary(one, pipeline.reasons) })),
            };
          });
          const all = of.reduce((sum, one) => sum + one.all, 0);
          const newest = of.flatMap(({ letters }) => letters).sort((a, b) => (a.written < b.written ? 1 : -1));
          const letters = newest.slice(0, options.limit);
          const rest = all > letters.length ? [`… and ${all - letters.length} older ones (--limit)`] : [];
          const lines = letters.length === 0 ? ['no letters'] : [...letters.map(listLine), ...rest];
          return { lines, report: { all, letters }, complete: true };
        },
      });
    });
}

function listLine(
  letter: Pick<Described, 'id' | 'state' | 'written' | 'reason' | 'stage' | 'source' | 'message'>,
): string {
  // The stage's name begins with the pipeline's.
  const { id, state, written, reason, stage, source, message } = letter;
  return `${id.padStart(8)}  ${state.padEnd(10)}  ${written}  ${reason}  ${stage}  ${source}  ${message.slice(0, 100)}`;
}

function addShow(program: Command): void {
  const command = program
    .command('show')
    .description('One letter, decoded as far as its bytes go, with the error in its context.');
  pipelineOption(operationFlags(command.argument('<id>', 'letter id, or topic:partition:offset'), { changes: false }))
    .addHelpText(
      'after',
      '\nExamples:\n  npm run dlq -- show 17 --pipeline prices\n  npm run dlq -- show cdc.public.engagement_events:2:40711',
    )
    .action(async (id: string, options: PipelineOptions) => {
      const filter = { ...ANY_LETTER, ids: filterOf({}, [id]).ids };
      await runReport({
        ...{ command: 'dlq show', arguments: { id }, flags: options, unit: 'letters' },
        read: async (context) => {
          const pipelines = pipelinesOf(options);
          const letters: Described[] = [];
          await withDlqs(context, pipelines, async ({ catalogue, pipeline, schemas }) => {
            await (await catalogue()).each(filter, async (found) => {
              letters.push(await describe(found, { schemas, reasons: pipeline.reasons }));
            });
          });
          if (letters.length > 0) return { lines: letters.flatMap(describedLines), report: letters, complete: true };
          const where = pipelines.map(({ topic }) => topic).join(' or ');
          throw new SluiceError(`There is no letter ${id} in ${where}`, { code: 'DLQ_NO_LETTER', action: 'fatal' });
        },
      });
    });
}

function addStats(program: Command): void {
  const command = program.command('stats').description('How many letters there are of each state, stage and reason.');
  filterOptions(operationFlags(command, { changes: false }), { states: true })
    .addHelpText(
      'after',
      '\nExamples:\n  npm run dlq -- stats --state all\n  npm run dlq -- stats --since 2026-01-31T00:00:00Z --json',
    )
    .action(async (options: FilterOptions) => {
      const filter = filterOf(options, []);
      await runReport({
        ...{ command: 'dlq stats', arguments: { ...options }, flags: options, unit: 'letters' },
        read: async (context) => {
          const of = await withDlqs(context, pipelinesOf(options), async ({ catalogue, pipeline }) => {
            const counts = await (await catalogue()).counts(filter);
            const iso = (ms: number) => new Date(ms).toISOString();
            return counts.map(({ oldestMs, newestMs, ...rest }) => {
              return { pipeline: pipeline.name, ...rest, oldest: iso(oldestMs), newest: iso(newestMs) };
            });
          });
          const report = of.flat();
          const lines = report.map(({ letters, state, reason, stage, oldest, newest }) => {
            return `${String(letters).padStart(9)}  ${state.padEnd(10)}  ${reason}  ${stage}  ${oldest} to ${newest}`;
          });
          return { lines: lines.length === 0 ? ['no letters'] : lines, report, complete: true };
        },
      });
    });
}

function addExport(program: Command): void {
  const command = program
    .command('export')
    .description('Writes letters with their bytes (base64) to a file, one JSON object a line.');
  filterOptions(operationFlags(command.argument('[ids...]'), { changes: false }), { states: true })
    .requiredOption('--output <file>', 'a file that does not exist yet')
    .addHelpText('after', '\nExamples:\n  npm run dlq -- export --reason UNDECODABLE --output undecodable.ndjson')
    .action(async (ids: string[], options: FilterOptions & { readonly output: string }) => {
      const filter = filterOf(options, ids);
      await runReport({
        ...{ command: 'dlq export', arguments: { ids, ...options }, flags: options, unit: 'letters' },
        read: async (context) => {
          let letters = 0;
          await intoFile(options.output, async (write) => {
            await withDlqs(context, pipelinesOf(options), async ({ catalogue, pipeline }) => {
              await (await catalogue()).each(filter, async (found) => {
                await write(exportLine(found, pipeline));
                context.progress.update(++letters, null);
              });
            });
          });
          const report = { letters, output: options.output };
          return { lines: [`${letters} letters written to ${options.output}`], report, complete: true };
        },
      });
    });
}

function exportLine(found: Found, { name, reasons }: DlqPipeline): string {
  const base64 = (bytes: Buffer | null) => bytes?.toString('base64') ?? null;
  const { key, value } = found.letter;
  const letter = { pipeline: name, ...summary(found, reasons), key: base64(key), value: base64(value) };
  return `${JSON.stringify(letter)}\n`;
}

/** What is written is in the file when this resolves; an existing file is never overwritten. */
async function intoFile(path: string, work: (write: (line: string) => Promise<void>) => Promise<void>): Promise<void> {
  const file = createWriteStream(path, { flags: 'wx' });
  try {
    await once(file, 'open');
  } catch (error) {
    throw badArgument(`--output ${path}: ${error instanceof Error ? error.message : error}`);
  }
  try {
    await work(async (line) => {
      if (!file.write(line)) await once(file, 'drain');
    });
  } finally {
    file.end();
    await once(file, 'close');
  }
}
