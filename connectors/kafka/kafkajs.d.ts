/** kafkajs ships no types for its inside; these are the parts `cluster.ts` uses, as they are in 2.2.4 (pinned exactly). */
declare module 'kafkajs/src/cluster/index.js' {
  const Cluster: new (options: Record<string, unknown>) => import('./cluster.ts').RawCluster;
  export default Cluster;
}
declare module 'kafkajs/src/network/socketFactory.js' {
  const createSocketFactory: () => (options: object) => import('node:net').Socket;
  export default createSocketFactory;
}
declare module 'kafkajs/src/protocol/encoder.js' {
  const Encoder: new () => { writeBufferInternal(buffer: Buffer): unknown };
  export default Encoder;
}
declare module 'kafkajs/src/protocol/error.js' {
  export const createErrorFromCode: (code: number) => Error & { type: string; retriable: boolean };
  export const failure: (code: number) => boolean;
  export const errorCodes: readonly { readonly type: string; readonly code: number }[];
}
declare module 'kafkajs/src/network/requestQueue/index.js' {
  const RequestQueue: {
    prototype: { readonly pending: readonly unknown[]; scheduleCheckPendingRequests(): void };
  };
  export default RequestQueue;
}
