/** Ports for the services of the tests. */

/**
 * A loopback port that was free a moment ago. Another process may take it before the service does: whoever starts a
 * service on it takes an early exit as that.
 */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
