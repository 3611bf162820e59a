/** How far a peer may send ahead of our reading, for servers and clients of this protocol. */

/**
 * Bytes of one call, and of all calls of one connection together. Not more: Node reads nothing while its own write
 * waits, so with windows beyond the socket buffers two Node peers can wait for each other for ever (seen with 8 MiB
 * here, 16 MiB there and 32 images in flight). Not the default of 64 KiB: a 600 KB message would need ten round trips.
 */
export const RECEIVE_WINDOW_BYTES = 1_048_576;
