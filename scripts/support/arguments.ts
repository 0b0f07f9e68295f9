/** Parsers of command-line arguments: a bad one is one clear line that names it. */
import { SluiceError } from '../../engine/errors.ts';

export function badArgument(message: string): SluiceError {
  return new SluiceError(message, { code: 'ARGUMENT_INVALID', action: 'fatal' });
}

/** A time with a zone, for the option `--name`. */
export function timeOf(name: string): (text: string) => Date {
  return (text) => {
    const time = new Date(text);
    // Without a zone it would mean another time on another machine; a date alone is UTC by the standard.
    const zoned = /^\d{4}-\d{2}-\d{2}$/.test(text) || /(Z|[+-]\d{2}:?\d{2})$/.test(text);
    if (!Number.isNaN(time.getTime()) && zoned) return time;
    throw badArgument(`--${name} ${text} is no time: give it as 2026-01-31T00:00:00Z`);
  };
}

/** A whole number of at most nine digits, for the option `--name`. */
export function countOf(name: string): (text: string) => number {
  return (text) => {
    if (/^\d{1,9}$/.test(text)) return Number(text);
    throw badArgument(`--${name} ${text} is no whole number`);
  };
}
