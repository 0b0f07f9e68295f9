/** The report as lines for a person. */
import type { ReconcileReport, SinkReport } from './report.ts';

/** A line for each sink, and under it what differs. */
export function reportLines(report: ReconcileReport): readonly string[] {
  const lines = [`Postgres as of ${report.position ?? 'no position'}`];
  for (const [name, sink] of Object.entries(report.sinks)) {
    lines.push(headline(name, sink), ...details(sink));
  }
  lines.push(`${report.result} in ${seconds(report.tookMs)}`);
  return lines;
}

function headline(name: string, sink: SinkReport): string {
  const { result, bucketsCompared, rowsCompared, differenceCount, deadLetteredCount, tookMs } = sink;
  const counts = `${plural(bucketsCompared, 'bucket')}, ${plural(rowsCompared, 'row')}, ${plural(differenceCount, 'difference')}`;
  const letters = deadLetteredCount === 0 ? '' : `, ${deadLetteredCount} dead-lettered`;
  const offsets = Object.entries(sink.position).map(([partition, offset]) => `${partition}:${offset}`);
  const at = offsets.length === 0 ? '' : `, at ${offsets.join(' ')}`;
  return `${result.padEnd(9)} ${name.padEnd(18)} ${counts}${letters}, ${seconds(tookMs)}${at}`;
}

function details(sink: SinkReport): string[] {
  const lines = sink.problem === null ? [] : [`  ${sink.problem}`];
  for (const { bucket, row, postgres, sink: found } of sink.differences) {
    lines.push(`  ${bucket}: ${row}`, `    Postgres: ${postgres ?? 'nothing'}`, `    sink:     ${found ?? 'nothing'}`);
  }
  lines.push(...more(sink.differenceCount - sink.differences.length, 'difference'));
  for (const { row, reason } of sink.deadLettered) lines.push(`  dead-lettered: ${row} (${reason})`);
  lines.push(...more(sink.deadLetteredCount - sink.deadLettered.length, 'dead letter'));
  return lines;
}

function more(count: number, what: string): string[] {
  return count > 0 ? [`  and ${count} more ${what}${count === 1 ? '' : 's'}; see --limit`] : [];
}

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
