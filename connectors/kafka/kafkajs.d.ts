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
  const Encoder: new (bytes?: number) => { buf: Buffer; offset: number };
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
declare module 'kafkajs/src/network/connection.js' {
  /** One connection to one broker, opened again after it has ended. */
  export interface RawConnection {
    socket?: import('node:net').Socket;
    /** What was received of an answer that is not whole yet, and how much of it there is and must be. */
    chunks: Buffer[];
    bytesBuffered: number;
    bytesNeeded: number;
    readonly authHandlers: { onError(): void } | null;
    isConnected(): boolean;
    connect(): Promise<boolean>;
    disconnect(): Promise<boolean>;
    send(request: object): Promise<unknown>;
    sendAuthRequest(request: object): Promise<unknown>;
  }
  const Connection: { new (options: object): RawConnection; prototype: RawConnection };
  export default Connection;
}
