/**
 * What this program changes in kafkajs 2.2.4, which is no longer developed and pinned for good: a request queue sets no
 * timer where nothing waits. It used to, with a negative time, after every response: the `TimeoutNegativeWarning` of
 * tulios/kafkajs#1751.
 */
import RequestQueue from "kafkajs/src/network/requestQueue/index.js";

interface Queue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}

let patched = false;

/** Applies the change; once a thread, however often it is called. */
export function patchKafkajs(): void {
  if (patched) return;
  patched = true;
  const queue = (RequestQueue as { prototype: Queue }).prototype;
  const schedule = queue.scheduleCheckPendingRequests;
  queue.scheduleCheckPendingRequests = function (this: Queue) {
    if (this.pending.length > 0) schedule.call(this);
  };
}
