/**
 * Worker entry: owns the embedded ClickHouse and serves statements over message ports, so that any number of
 * threads use it through `@clickhouse/client` as they would a server.
 */
/// <reference lib="deno.worker" />
import { assertNever, invariant, messageOf } from "../../schema/errors.ts";
import { ChdbEngine } from "./chdb_engine.ts";
import type { ChdbControl, ChdbNotice, ChdbRequest, ChdbResponse } from "./chdb_protocol.ts";

let engine: ChdbEngine | undefined;
const ports = new Set<MessagePort>();

function notify(notice: ChdbNotice): void {
  self.postMessage(notice);
}

async function respond(port: MessagePort, request: ChdbRequest): Promise<void> {
  invariant(engine !== undefined, "a port is served only after the folder was opened");
  try {
    const result = await engine.run(request);
    // The engine's memory is not ours to transfer.
    const bytes = result.bytes.slice() as Uint8Array<ArrayBuffer>;
    const response: ChdbResponse = {
      id: request.id,
      ok: true,
      bytes,
      rowsRead: result.rowsRead,
      bytesRead: result.bytesRead,
      elapsedSeconds: result.elapsed,
    };
    port.postMessage(response, [bytes.buffer]);
  } catch (error) {
    port.postMessage({ id: request.id, ok: false, message: messageOf(error) } satisfies ChdbResponse);
  }
}

function serve(port: MessagePort): void {
  ports.add(port);
  port.onmessage = ({ data }: MessageEvent<ChdbRequest>) => void respond(port, data);
}

async function open(folder: string): Promise<void> {
  try {
    engine = await ChdbEngine.open(folder);
    notify({ type: "opened" });
  } catch (error) {
    notify({ type: "failed", message: messageOf(error) });
  }
}

async function close(): Promise<void> {
  await engine?.close();
  for (const port of ports) port.close();
  notify({ type: "closed" });
  self.close();
}

self.onmessage = ({ data }: MessageEvent<ChdbControl>) => {
  switch (data.type) {
    case "open":
      return void open(data.folder);
    case "serve":
      return serve(data.port);
    case "close":
      return void close();
    default:
      return assertNever(data);
  }
};
