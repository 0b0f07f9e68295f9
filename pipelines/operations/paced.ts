/** Work in pieces, no faster than it is told to. */
import { setTimeout as sleep } from 'node:timers/promises';

const AT_ONCE = 500;

/** `work` is called for each piece of the items, `rate` of them a second. Ends with an AbortError at the signal, between two pieces. */
export async function inPaced<T>(
  items: readonly T[],
  options: { readonly rate: number; readonly signal: AbortSignal; readonly progress: (done: number) => void },
  work: (piece: readonly T[]) => Promise<void>,
): Promise<void> {
  const { rate, signal, progress } = options;
  const size = Math.max(1, Math.min(AT_ONCE, rate));
  for (let done = 0; done < items.length; ) {
    signal.throwIfAborted();
    const piece = items.slice(done, done + size);
    await work(piece);
    done += piece.length;
    progress(done);
    if (done < items.length) await sleep((piece.length / rate) * 1_000, undefined, { signal });
  }
}
