/** One fault of kafkajs that every client of it has. */
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';

let timersMended = false;

/**
 * kafkajs sets a timer for a negative time after every answer, though nothing is waiting: a warning of Node and a wake-up
 * each. With nothing pending there is nothing to check.
 */
export function mendTimers(): void {
  if (timersMended) return;
  timersMended = true;
  const { prototype } = RequestQueue;
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function checkWhatWaits() {
    if (this.pending.length > 0) schedule.call(this);
  };
}
