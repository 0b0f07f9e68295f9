/** A line of a file of daily bars as a row of stock_prices: pure functions of the line and the stocks that there are. */
import { SluiceError } from '../../../engine/errors.ts';
import { checkFigures } from '../bar.ts';
import { zoneOf } from '../exchanges.ts';
import { Zone } from '../zone.ts';

/** Figures are decimal text, as the file has them. */
export interface HistoryRow {
  readonly stockId: bigint;
  /** Midnight at the exchange. */
  readonly startMs: number;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
  readonly volume: string;
}

/** A line that is not loaded. */
export interface Reject {
  /** From 1, the header counted. */
  readonly line: number;
  /** BAD_LINE, BAD_DATE, BAD_NUMBER, UNKNOWN_STOCK or a reason of `checkFigures`. */
  readonly reason: string;
  readonly message: string;
}

export interface KnownStock {
  readonly id: bigint;
  readonly exchange: string;
}

const COLUMNS = ['symbol', 'date', 'open', 'high', 'low', 'close', 'volume'] as const;
type Column = (typeof COLUMNS)[number];
/** Where each column is. */
export type Header = Readonly<Record<Column, number>>;

const DAY_MS = 86_400_000;
const PRICE = /^\d{1,12}(\.\d{1,6})?$/;
const VOLUME = /^\d{1,18}$/;
const DATE = /^(19[7-9]\d|20\d\d|21\d\d)-(\d\d)-(\d\d)$/;
const FRACTION_DIGITS = 6;

const refused = (code: string, message: string): SluiceError =>
  new SluiceError(message, { code, action: 'dead-letter' });

/** The first line: the names of the columns, in any order, `ts` for `date` too. Throws HISTORY_FILE_UNREADABLE (fatal). */
export function headerOf(line: string): Header {
  const names = cellsOf(line).map((name) => (name.toLowerCase() === 'ts' ? 'date' : name.toLowerCase()));
  const missing = COLUMNS.filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw new SluiceError(`The first line names no column ${missing.join(', ')}: it must be ${COLUMNS.join(',')}`, {
      code: 'HISTORY_FILE_UNREADABLE',
      action: 'fatal',
    });
  }
  return Object.fromEntries(COLUMNS.map((name) => [name, names.indexOf(name)])) as Header;
}

/** Throws the reason (dead-letter) why the line is no bar of a day. */
export function rowOf(line: string, header: Header, stocks: ReadonlyMap<string, KnownStock>): HistoryRow {
  const cells = cellsOf(line);
  const cell = (column: Column): string => {
    const text = cells[header[column]];
    if (text === undefined) throw refused('BAD_LINE', `${cells.length} columns, and none for ${column}`);
    return text;
  };
  const symbol = cell('symbol');
  const [open, high, low, close] = [cell('open'), cell('high'), cell('low'), cell('close')];
  const volume = cell('volume');
  const date = cell('date');
  const prices = [open, high, low, close].map(e6);
  if (!VOLUME.test(volume)) throw refused('BAD_NUMBER', `the volume ${show(volume)} is no whole number`);
  checkFigures({ open: prices[0]!, high: prices[1]!, low: prices[2]!, close: prices[3]!, volume: BigInt(volume) });
  const stock = stocks.get(symbol);
  if (stock === undefined) throw refused('UNKNOWN_STOCK', `there is no stock ${show(symbol)}`);
  return { stockId: stock.id, startMs: startOf(date, stock), open, high, low, close, volume };
}

/** A date, or an instant that is a midnight at the exchange. */
function startOf(text: string, { exchange }: KnownStock): number {
  const zone = Zone.of(zoneOf(exchange));
  if (DATE.test(text)) {
    const day = Date.parse(`${text}T00:00:00Z`) / DAY_MS;
    if (Number.isInteger(day) && new Date(day * DAY_MS).toISOString().startsWith(text)) return zone.midnight(day);
  } else if (/(Z|[+-]\d\d:?\d\d)$/.test(text)) {
    const at = Date.parse(text);
    if (at >= 0 && zone.dayAt(at).start === at) return at;
    throw refused('BAD_DATE', `${show(text)} is no midnight at ${exchange}`);
  }
  throw refused('BAD_DATE', `${show(text)} is no day: give it as 2026-01-31`);
}

function e6(text: string): bigint {
  if (!PRICE.test(text))
    throw refused('BAD_NUMBER', `the price ${show(text)} is no decimal number of at most 12 and 6 digits`);
  const [whole, fraction = ''] = text.split('.');
  return BigInt(`${whole}${fraction.padEnd(FRACTION_DIGITS, '0')}`);
}

/** Commas separate; quotes around a cell are taken off, and none is inside of one. */
function cellsOf(line: string): string[] {
  return line.split(',').map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'));
}

const show = (text: string): string => JSON.stringify(text.slice(0, 40));
