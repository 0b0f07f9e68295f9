/** The live screen as text: a pure function of the state. */
import { type Board, isHealthy, type PipelineState, type ProcessRow, type ScreenState } from './state.ts';

const WIDEST = 110;
const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
type Style = keyof typeof CODES;
type Paint = (style: Style, text: string) => string;

export interface RenderOptions {
  readonly columns: number;
  readonly rows: number;
  readonly color: boolean;
}

/** The lines of the screen, none wider than the terminal, no more of them than it has rows. */
export function render(state: ScreenState, options: RenderOptions): readonly string[] {
  const width = Math.min(options.columns, WIDEST);
  const paint: Paint = (style, text) => (options.color ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text);
  const linesOf = (processes: readonly string[]) => [
    ...header(state, width, paint),
    '',
    ...processes,
    '',
    ...state.pipelines.flatMap(({ board }) => [...boardLines(board, width, paint), '']),
    ...state.connections.map(
      ({ name, try: command }) => `  ${paint('cyan', name.padEnd(11))}${cut(command, width - 13)}`,
    ),
    '',
    paint('dim', cut(`  Logs: ${state.logs}    Ctrl-C stops everything.`, width)),
    ...state.notices.slice(-3).map((notice) => paint('yellow', cut(`  ${notice}`, width))),
  ];
  const whole = linesOf(processTable(state.rows, width, paint));
  // Where there is no room for all, servers that are well are told in a line.
  const lines = whole.length <= options.rows ? whole : linesOf(shorterTable(state.rows, width, paint));
  return lines.slice(0, Math.max(1, options.rows));
}

function header(state: ScreenState, width: number, paint: Paint): readonly string[] {
  const healthy = state.rows.length > 0 && state.rows.every(isHealthy);
  const health = healthy ? 'all healthy' : `${state.rows.filter((row) => !isHealthy(row)).length} not healthy`;
  const flows = state.pipelines.map(flow).join('   ');
  // The health stays on a narrow terminal, whatever else goes.
  const room = width - health.length - 2;
  const left = cut(`  Sluice   up ${duration(state.upSeconds)}   ${flows}`, room);
  return [
    `${paint('bold', left)}${' '.repeat(width - left.length - health.length)}${paint(healthy ? 'green' : 'yellow', health)}`,
  ];
}

/** What comes in, and whether sample traffic is part of it. */
function flow({ name, unit, rate, perSecond }: PipelineState): string {
  return `${name} ${count(perSecond)} ${unit}/s${rate === null ? ', no traffic' : ''}`;
}

interface Column {
  readonly title: string;
  readonly width: number;
  readonly value: (row: ProcessRow) => string;
}

const COLUMNS: readonly Column[] = [
  { title: 'health', width: 11, value: healthWord },
  { title: 'pid', width: 8, value: ({ pid }) => (pid === null ? '–' : String(pid)) },
  { title: 'cpu', width: 8, value: ({ cpuPercent }) => (cpuPercent === null ? '–' : `${cpuPercent.toFixed(0)} %`) },
  { title: 'memory', width: 10, value: ({ memoryMiB }) => (memoryMiB === null ? '–' : `${memoryMiB.toFixed(0)} MiB`) },
  { title: 'restarts', width: 9, value: ({ restarts }) => (restarts === 0 ? '–' : String(restarts)) },
  { title: 'rec/s', width: 9, value: ({ figures }) => count(figures?.recordsPerSecond) },
  { title: 'lag', width: 9, value: ({ figures }) => count(figures?.lagRecords) },
  { title: 'fresh', width: 9, value: ({ figures }) => seconds(figures?.freshnessSeconds) },
];
/** A narrower terminal loses these, one after the other. */
const LOST_FIRST = ['pid', 'restarts', 'memory', 'cpu', 'rec/s', 'lag', 'fresh', 'health'];
const NAME_WIDTHS = { least: 25, most: 35 } as const;

function columnsWithin(room: number): readonly Column[] {
  let shown = COLUMNS;
  for (const lost of LOST_FIRST) {
    if (shown.reduce((sum, { width }) => sum + width, 0) <= room) break;
    shown = shown.filter(({ title }) => title !== lost);
  }
  return shown;
}

function processTable(rows: readonly ProcessRow[], width: number, paint: Paint): readonly string[] {
  const longest = Math.max(NAME_WIDTHS.least, ...rows.map(({ name }) => [...name].length + 1));
  const nameWidth = Math.min(longest, NAME_WIDTHS.most);
  const shown = columnsWithin(width - 2 - nameWidth);
  const line = (name: string, cell: (column: Column) => string) =>
    `  ${cut(name, nameWidth - 1).padEnd(nameWidth)}${shown.map(cell).join('')}`;
  return [
    paint(
      'dim',
      line('process', ({ title, width: size }) => title.padStart(size)),
    ),
    ...rows.map((row) =>
      line(row.name, (column) => {
        const text = cut(column.value(row), column.width - 1).padStart(column.width);
        return column.title === 'health' ? paint(healthStyle(row), text) : text;
      }),
    ),
  ];
}

function shorterTable(rows: readonly ProcessRow[], width: number, paint: Paint): readonly string[] {
  const well = rows.filter((row) => row.kind === 'server' && isHealthy(row));
  const others = rows.filter((row) => !well.includes(row));
  const line = cut(`  ${well.length} servers up: ${well.map(({ name }) => name).join(', ')}`, width);
  return [...processTable(others, width, paint), ...(well.length === 0 ? [] : [paint('dim', line)])];
}

function healthWord(row: ProcessRow): string {
  if (row.state !== 'up') return row.state;
  if (row.ready === null) return 'up';
  return row.ready.ok ? 'ready' : 'not ready';
}

function healthStyle(row: ProcessRow): Style {
  if (row.state === 'failed') return 'red';
  return isHealthy(row) ? 'green' : 'yellow';
}

function boardLines(board: Board, width: number, paint: Paint): readonly string[] {
  const asOf = board.asOfMs === null ? '' : ` as of ${new Date(board.asOfMs).toISOString().slice(11, 19)} UTC`;
  const title = paint('bold', cut(`  ${board.title}${asOf}`, width));
  if (board.entries.length === 0) return [title, paint('dim', '  nothing yet')];
  const most = Math.max(...board.entries.map(({ score }) => score));
  const nameWidth = Math.min(45, width - 18);
  const barWidth = Math.max(0, Math.min(30, width - 65));
  return [
    title,
    ...board.entries.map(({ name, score, text }, index) => {
      const bar = '▇'.repeat(most > 0 ? Math.max(1, Math.round((score / most) * barWidth)) : 0).slice(0, barWidth);
      const shown = cut(text, 10).padStart(10);
      return `  ${index + 1}  ${cut(name, nameWidth).padEnd(nameWidth)}${shown}${barWidth === 0 ? '' : `  ${paint('cyan', bar)}`}`;
    }),
  ];
}

/** One calm line for a log file instead of a screen. */
export function summaryLine(state: ScreenState): string {
  const unhealthy = state.rows.filter((row) => !isHealthy(row)).map((row) => `${row.name} ${healthWord(row)}`);
  const workers = state.rows.flatMap(({ name, figures }) =>
    figures === null ? [] : [`${name} ${count(figures.recordsPerSecond)}/s lag ${count(figures.lagRecords)}`],
  );
  const parts = [
    `up ${duration(state.upSeconds)}`,
    unhealthy.length === 0 ? 'all healthy' : `not healthy: ${unhealthy.join(', ')}`,
    ...workers,
    ...state.pipelines.map(({ board: { entries } }) =>
      entries[0] === undefined ? 'board empty' : `top "${entries[0].name}" ${entries[0].text}`,
    ),
  ];
  return parts.join(' | ');
}

/** Cuts a text that is too long, and says so; control characters never reach the terminal. */
function cut(text: string, width: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const clean = text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
  const letters = [...clean];
  return letters.length <= width ? clean : `${letters.slice(0, Math.max(0, width - 1)).join('')}…`;
}

function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return Math.round(value).toLocaleString('en-US');
}

function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return value < 100 ? `${value.toFixed(1)} s` : duration(value);
}

function duration(value: number): string {
  const whole = Math.floor(value);
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3_600)} h ${Math.floor((whole % 3_600) / 60)} min`;
}
