/**
 * Faults of kafkajs 2.2.4 that every client of it has, mended in its prototypes. The one that matters most: a connection that ends in the
 * middle of an answer keeps the half of it, takes everything that comes over the next connection for the rest, and so never gets an answer
 * again; whoever shares it stands still for as long as the process lives, or dies of a length that was no length.
 *
 * Invariant: what became of a connection before says nothing about the next one, and every request ends: answered, refused, or in time.
 * tests/unit/kafka/mend.test.ts fails without.
 */
import Connection, { type RawConnection } from 'kafkajs/src/network/connection.js';
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';

let mended = false;

/** Called by whoever makes a client; the first time counts. */
export function mendKafkajs(): void {
  if (mended) return;
  mended = true;
  mendTimers();
  mendConnect();
  mendDisconnect();
  mendTimeouts();
}

/**
 * kafkajs sets a timer for a negative time after every answer, though nothing is waiting: a warning of Node and a wake-up
 * each. With nothing pending there is nothing to check.
 */
function mendTimers(): void {
  const { prototype } = RequestQueue;
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function checkWhatWaits() {
    if (this.pending.length > 0) schedule.call(this);
  };
}

/** The length in front of an answer. */
const LENGTH_BYTES = 4;

/**
 * Nothing half received is left from the connection before; two that ask at once get one connection, not a second one that nobody closes; and
 * an authentication that the end of the connection has interrupted fails, instead of leaving everybody waiting for it.
 */
function mendConnect(): void {
  const { prototype } = Connection;
  const { connect } = prototype;
  const connecting = new WeakMap<RawConnection, Promise<boolean>>();
  const begin = async (connection: RawConnection) => {
    connection.chunks = [];
    connection.bytesBuffered = 0;
    connection.bytesNeeded = LENGTH_BYTES;
    const opened = connect.call(connection);
    connection.socket?.once('close', () => connection.authHandlers?.onError());
    return await opened;
  };
  prototype.connect = async function connectOnce() {
    if (this.isConnected()) return true;
    const running = connecting.get(this);
    if (running !== undefined) return await running;
    const attempt = begin(this).finally(() => connecting.delete(this));
    connecting.set(this, attempt);
    return await attempt;
  };
}

/** A socket that was only ended goes on to deliver what was on its way, into the next connection. */
function mendDisconnect(): void {
  const { prototype } = Connection;
  const { disconnect } = prototype;
  prototype.disconnect = async function disconnectWhole() {
    const { socket } = this;
    const done = await disconnect.call(this);
    socket?.destroy();
    return done;
  };
}

/** A connection on which an answer is overdue is given up, as Kafka's own client does: the next request on it would wait just as long. */
function mendTimeouts(): void {
  const { prototype } = Connection;
  const { send } = prototype;
  prototype.send = async function sendInTime(request) {
    const { socket } = this;
    try {
      return await send.call(this, request);
    } catch (error) {
      if ((error as Error).name === 'KafkaJSRequestTimeoutError') socket?.destroy(error as Error);
      throw error;
    }
  };
}
