/** kafkajs's connection, mended, against a peer that answers as the test says: each of these fails with kafkajs as it comes. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import Connection, { type RawConnection } from 'kafkajs/src/network/connection.js';
import createSocketFactory from 'kafkajs/src/network/socketFactory.js';
import Encoder from 'kafkajs/src/protocol/encoder.js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { mendKafkajs } from '../../../connectors/kafka/mend.ts';

let server: Server;
/** All that were accepted, in order. */
let accepted: Socket[];
/** What the peer does with a request that has come on its nth connection. */
let answer: (socket: Socket, correlationId: number, nth: number) => void;
const connections: RawConnection[] = [];

beforeEach(async () => {
  mendKafkajs();
  accepted = [];
  server = createServer((socket) => {
    const nth = accepted.push(socket);
    socket.on('error', () => {});
    // Requests are small and come whole, if not alone: size, api key and version, then the correlation id.
    socket.on('data', (bytes) => {
      for (let at = 0; at < bytes.length; at += 4 + bytes.readInt32BE(at))
        answer(socket, bytes.readInt32BE(at + 8), nth);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.socket?.destroy();
  for (const socket of accepted) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const silent = { namespace: () => silent, error() {}, warn() {}, info() {}, debug() {} };

function connection(options: object = {}): RawConnection {
  const { port } = server.address() as AddressInfo;
  const made = new Connection({
    ...{ host: '127.0.0.1', port, logger: silent, clientId: 'test', socketFactory: createSocketFactory() },
    ...{ connectionTimeout: 5_000, requestTimeout: 10_000, enforceRequestTimeout: true, ...options },
  });
  connections.push(made);
  return made;
}

/** The bytes of an answer that is a text. */
function framed(correlationId: number, text: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(4 + text.length, 0);
  head.writeInt32BE(correlationId, 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

const REQUEST = {
  request: { apiKey: 3, apiVersion: 0, apiName: 'Metadata', encode: async () => new Encoder() },
  response: { decode: async (raw: Buffer) => ({ text: raw.toString() }), parse: async (answered: object) => answered },
};

/** In the frame of any other. */
const AUTHENTICATE = Buffer.from([0, 0, 0, 8, 0, 36, 0, 0, 0, 0, 0, 1]);

async function asked(by: RawConnection): Promise<unknown> {
  await by.connect();
  return await by.send(REQUEST);
}

it('takes nothing of an answer that was cut off into the next connection', async () => {
  answer = (socket, correlationId, nth) => {
    const whole = framed(correlationId, 'a long answer');
    if (nth > 1) socket.write(whole);
    else socket.end(whole.subarray(0, 10));
  };
  const client = connection();
  await expect(asked(client)).rejects.toThrow('Closed connection');
  expect(await asked(client)).toEqual({ text: 'a long answer' });
});

it('gives two that ask at once one connection', async () => {
  answer = (socket, correlationId) => socket.write(framed(correlationId, 'here'));
  const client = connection();
  expect(await Promise.all([asked(client), asked(client)])).toEqual([{ text: 'here' }, { text: 'here' }]);
  expect(accepted).toHaveLength(1);
});

it('gives up a connection on which an answer is overdue', async () => {
  answer = (socket, correlationId, nth) => {
    if (nth > 1) socket.write(framed(correlationId, 'here'));
  };
  const client = connection({ requestTimeout: 50 });
  const [late, other] = await Promise.allSettled([asked(client), asked(client)]);
  expect([late.status, other.status]).toEqual(['rejected', 'rejected']);
  await expect.poll(() => client.isConnected()).toBe(false);
  expect(await asked(client)).toEqual({ text: 'here' });
});

it('fails an authentication that the peer has interrupted', async () => {
  answer = (socket) => socket.resetAndDestroy();
  const client = connection();
  await client.connect();
  await expect(client.sendAuthRequest({ ...REQUEST, request: { encode: async () => AUTHENTICATE } })).rejects.toThrow(
    'Connection closed by the server',
  );
});

it('hears nothing of a connection that it has closed', async () => {
  const late: (() => void)[] = [];
  answer = (socket, correlationId, nth) => {
    if (nth === 1) {
      socket.write(framed(correlationId, 'first'));
      late.push(() => socket.write(Buffer.from('what nobody asked for')));
    } else {
      for (const write of late) write();
      socket.write(framed(correlationId, 'second'));
    }
  };
  const client = connection();
  expect(await asked(client)).toEqual({ text: 'first' });
  await client.disconnect();
  expect(await asked(client)).toEqual({ text: 'second' });
});
