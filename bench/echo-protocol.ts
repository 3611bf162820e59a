/** Messages between the bench and the echo server's process. */

/** Sets what the echo answers from now on; undefined: the request's own bytes. */
export interface EchoCommand {
  readonly answer: Uint8Array | undefined;
}

export type EchoReply =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly text: string };
