/** Says what a comparison is at, every ten seconds: one of five million rows takes a quarter of an hour. */
import type { Watch, Within } from '../../pipelines/operations/reconcile/report.ts';

export interface Watching {
  readonly watch: Watch;
  end(): void;
}

const LINE_MS = 10_000;

export function watching(write: (line: string) => void): Watching {
  const begun = performance.now();
  let at: { readonly name: string; readonly within: Within | undefined } | null = null;
  const timer = setInterval(() => {
    if (at === null) return;
    const { name, within } = at;
    const done = within === undefined ? '' : `, ${within.done} of ${within.of} ${within.unit}`;
    write(`${name}${done} (${Math.round((performance.now() - begun) / 1_000)} s)`);
  }, LINE_MS);
  timer.unref();
  return {
    watch: (name, within) => {
      at = { name, within };
    },
    end: () => clearInterval(timer),
  };
}
