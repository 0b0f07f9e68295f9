/** When a repair refuses, and how it counts what it does. */
import { SluiceError } from '../../engine/errors.ts';
import type { ReconcileReport, SinkReport } from './reconcile/report.ts';

/** So many differences are more likely a wrong address than so many faults. Throws REPAIR_REFUSED (fatal). */
export function refuseMany({ sinks }: Pick<ReconcileReport, 'sinks'>, which: RegExp, max: number): void {
  const many = Object.entries(sinks).find(
    ([name, sink]: [string, SinkReport]) => which.test(name) && sink.differenceCount > max,
  );
  if (many === undefined) return;
  const [name, { differenceCount }] = many;
  throw refused(
    `${name} differs in ${differenceCount} places, more than --max ${max}. Are all addresses of the same system? If they are, give --max ${differenceCount}`,
  );
}

export function refused(message: string): SluiceError {
  return new SluiceError(message, { code: 'REPAIR_REFUSED', action: 'fatal' });
}

export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
