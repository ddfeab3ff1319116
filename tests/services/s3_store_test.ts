/** The object store on a real MinIO (or the S3 of the environment), and behind a proxy that fails on purpose. */
import { assert, assertEquals, assertFalse, assertMatch, assertRejects } from "@std/assert";
import { SinkError } from "../../schema/errors.ts";
import type { S3Store } from "../../sinks/lake/s3_store.ts";
import { objectStoreContract } from "../sinks/object_store_contract.ts";
import { type HttpFault, HttpFaultProxy } from "./harness/fault_proxy.ts";
import {
  Minio,
  s3,
  type S3Credentials,
  stopMinio,
  testStore,
  type TestStoreOptions,
} from "./harness/minio.ts";
import { freePort } from "./harness/ports.ts";

Deno.test.afterAll(stopMinio);

const text = (value: string) => new TextEncoder().encode(value);
const isPut = ({ method }: { readonly method: string }) => method === "PUT";
const isGet = ({ method }: { readonly method: string }) => method === "GET";

async function emptied(store: S3Store): Promise<void> {
  for (const { key } of await store.list("")) await store.delete(key);
  store.close();
}

objectStoreContract("S3Store", async () => {
  const store = testStore(await s3());
  await store.prepare();
  return { store, [Symbol.asyncDispose]: () => emptied(store) };
});

/** A store of its own, emptied in the end. */
async function withStore(
  run: (store: S3Store, credentials: S3Credentials) => Promise<void>,
  options: TestStoreOptions = {},
): Promise<void> {
  const credentials = await s3();
  const store = testStore(credentials, options);
  try {
    await store.prepare();
    await run(store, credentials);
  } finally {
    await emptied(store);
  }
}

/** Two views of one place: straight, and through a proxy. The time out is short, so that hanging is seen soon. */
async function behindProxy(
  run: (
    views: { readonly proxied: S3Store; readonly direct: S3Store; readonly proxy: HttpFaultProxy },
  ) => Promise<
    void
  >,
): Promise<void> {
  const prefix = crypto.randomUUID();
  await withStore(async (direct, credentials) => {
    const { hostname, port } = new URL(credentials.endpoint);
    await using proxy = new HttpFaultProxy({ hostname, port: Number(port || 80) });
    const proxied = testStore(credentials, { endpoint: proxy.url, prefix, timeoutMs: 1_000 });
    try {
      await run({ proxied, direct, proxy });
    } finally {
      proxied.close();
    }
  }, { prefix });
}

async function failure(attempt: () => Promise<unknown>): Promise<SinkError> {
  return await assertRejects(attempt, SinkError) as SinkError;
}

Deno.test("S3Store: a list of more objects than one answer holds is whole and in order", () =>
  withStore(async (store) => {
    const keys = Array.from({ length: 2_300 }, (_, i) => `many/${String(i).padStart(20, "0")}.json`);
    for (let at = 0; at < keys.length; at += 100) {
      await Promise.all(keys.slice(at, at + 100).map((key) => store.put(key, text("x"))));
    }
    assertEquals((await store.list("many/")).map(({ key }) => key), keys);
    assertEquals((await store.list("many/", keys[1_199])).map(({ key }) => key), keys.slice(1_200));
    for (let at = 0; at < keys.length; at += 100) {
      await Promise.all(keys.slice(at, at + 100).map((key) => store.delete(key)));
    }
  }));

Deno.test("S3Store: the condition of a put holds for objects that clients like to send in parts", () =>
  withStore(async (store) => {
    const outcomes = await Promise.all(
      [1, 2].map((fill) => store.putIfAbsent("large", new Uint8Array(70 * 1024 * 1024).fill(fill))),
    );
    assertEquals(outcomes.toSorted(), ["created", "exists"]);
    const found = await store.get("large");
    assertEquals(found?.length, 70 * 1024 * 1024);
    assertEquals(new Set(found), new Set([outcomes.indexOf("created") + 1]));
  }));

Deno.test("S3Store: objects are written from views and read into arrays of their own", () =>
  withStore(async (store) => {
    const whole = text("before the view after");
    await store.put("view", whole.subarray(7, 15));
    const found = await store.get("view");
    assertEquals(found, text("the view"));
    assertEquals(found!.buffer.byteLength, 8);
  }));

Deno.test("S3Store: prepare leaves nothing behind, and may be repeated", () =>
  withStore(async (store) => {
    await store.prepare();
    assertEquals(await store.list(""), []);
  }));

const LOST: readonly (readonly [name: string, fault: HttpFault, sentence: RegExp])[] = [
  [
    "no answer",
    { type: "hang" },
    /no answer within 1000 ms.* S3_ENDPOINT http.* does not answer.* S3_TIMEOUT/,
  ],
  ["a reset connection", { type: "reset" }, /S3_ENDPOINT http/],
  ["an answer lost after the request was handled", { type: "lose_answer" }, /S3_ENDPOINT http/],
  [
    "an answer of 500",
    { type: "answer", status: 500, body: "" },
    /HTTP status 500\. .* cannot serve at the moment/,
  ],
  [
    "an answer of 503 with a code",
    { type: "answer", status: 503, body: "<Error><Code>SlowDown</Code></Error>" },
    /HTTP status 503 \(SlowDown\)\. .* S3_ENDPOINT http.* cannot serve at the moment/,
  ],
  ["an answer of 429", { type: "answer", status: 429, body: "slow" }, /HTTP status 429/],
];

for (const [name, fault, sentence] of LOST) {
  Deno.test(`S3Store: ${name} is an error that may be tried again, for every call, and the next call works`, () =>
    behindProxy(async ({ proxied, proxy }) => {
      await proxied.put("there", text("there"));
      const calls: readonly (readonly [string, () => Promise<unknown>])[] = [
        ["put", () => proxied.put("a", text("a"))],
        ["putIfAbsent", () => proxied.putIfAbsent(crypto.randomUUID(), text("a"))],
        ["get", () => proxied.get("there")],
        ["list", () => proxied.list("")],
        ["delete", () => proxied.delete("b")],
      ];
      for (const [call, send] of calls) {
        const happened = proxy.once(() => true, fault);
        const error = await failure(send);
        await happened;
        assert(error.retryable, `${call}: ${error.message}`);
        assertMatch(error.message, sentence, call);
        await send();
      }
    }));
}

Deno.test("S3Store: an object whose answer breaks off is an error, never a shorter object", () =>
  behindProxy(async ({ proxied, proxy }) => {
    for (const size of [10, 300_000]) {
      await proxied.put("whole", new Uint8Array(size).fill(7));
      proxy.once(isGet, { type: "cut_answer" });
      const error = await failure(() => proxied.get("whole"));
      assert(error.retryable, error.message);
      assertEquals((await proxied.get("whole"))?.length, size);
    }
  }));

Deno.test("S3Store: a list whose answer breaks off is an error, never a shorter list", () =>
  behindProxy(async ({ proxied, proxy }) => {
    await proxied.put("a/1", text("1"));
    proxy.once(isGet, { type: "cut_answer" });
    assert((await failure(() => proxied.list(""))).retryable);
    assertEquals((await proxied.list("")).length, 1);
  }));

Deno.test("S3Store: a put whose answer is lost has happened, and is not sent again by the client", () =>
  behindProxy(async ({ proxied, direct, proxy }) => {
    let puts = 0;
    proxy.rule = (request) => isPut(request) && ++puts === 1 ? { type: "lose_answer" } : { type: "pass" };
    assert((await failure(() => proxied.putIfAbsent("log/1", text("mine")))).retryable);
    assertEquals(puts, 1);
    assertEquals(await direct.get("log/1"), text("mine"));
    assertEquals(await proxied.putIfAbsent("log/1", text("again")), "exists");
  }));

Deno.test("S3Store: a slow answer that comes within the time out is no error", () =>
  behindProxy(async ({ proxied, proxy }) => {
    proxy.once(isPut, { type: "delay", ms: 300 });
    assertEquals(await proxied.putIfAbsent("slow", text("x")), "created");
  }));

Deno.test("S3Store: a server that stands still costs the time out, and serves again afterwards", async () => {
  await using minio = await Minio.start();
  const store = testStore(minio.credentials, { timeoutMs: 1_000 });
  await store.prepare();
  minio.pause();
  try {
    for (const call of [() => store.put("a", text("a")), () => store.get("a"), () => store.list("")]) {
      const error = await failure(call);
      assert(error.retryable);
      assertMatch(error.message, /no answer within 1000 ms/);
    }
  } finally {
    minio.resume();
  }
  await store.put("b", text("b"));
  assertEquals(await store.get("b"), text("b"));
  store.close();
});

Deno.test("S3Store: a server that was killed loses nothing that a put returned for", async () => {
  await using minio = await Minio.start();
  const store = testStore(minio.credentials, { timeoutMs: 1_000 });
  await store.prepare();
  await store.put("a", text("a"));
  await minio.kill();
  const error = await failure(() => store.put("b", text("b")));
  assert(error.retryable);
  assertMatch(
    error.message,
    /S3_ENDPOINT http:\/\/127\.0\.0\.1:\d+ cannot be reached: start it, or mend S3_ENDPOINT/,
  );
  await minio.startAgain();
  assertEquals(await store.get("a"), text("a"));
  await store.put("b", text("b"));
  store.close();
});

/** The sentence that `prepare` fails with. */
async function refusal(options: TestStoreOptions): Promise<SinkError> {
  const store = testStore(await s3(), options);
  try {
    return await failure(() => store.prepare());
  } finally {
    store.close();
  }
}

Deno.test("S3Store: a wrong key, secret, bucket or endpoint is refused by the setting's name, and not tried again", async () => {
  const cases: readonly (readonly [TestStoreOptions, RegExp])[] = [
    [{ accessKey: "nobody" }, /^Cannot use S3_BUCKET .* S3_ACCESS_KEY is not known to the server/],
    [{ secretKey: "wrong-secret" }, /S3_SECRET_KEY does not belong to S3_ACCESS_KEY/],
    [{ bucket: "Not_A_Bucket" }, /S3_BUCKET Not_A_Bucket is not a name/],
    [
      { endpoint: (await s3()).endpoint.replace("http:", "https:") },
      /S3_ENDPOINT https:.* does not speak this protocol: check the scheme/,
    ],
  ];
  for (const [options, sentence] of cases) {
    const error = await refusal(options);
    assertMatch(error.message, sentence);
    assertFalse(error.retryable, error.message);
    assertFalse(error.message.includes("wrong-secret"));
  }
});

Deno.test("S3Store: an endpoint where nothing listens is told as that", async () => {
  const error = await refusal({ endpoint: `http://127.0.0.1:${freePort()}` });
  assertMatch(
    error.message,
    /^Cannot use S3_BUCKET .*S3_ENDPOINT http:\/\/127\.0\.0\.1:\d+ cannot be reached/,
  );
});

Deno.test("S3Store: a bucket that is gone is not made again behind the operator's back", async () => {
  const store = testStore(await s3(), { bucket: "sessionary-nobody-made-this" });
  const error = await failure(() => store.put("a", text("a")));
  assertMatch(
    error.message,
    /S3_BUCKET sessionary-nobody-made-this does not exist at S3_ENDPOINT .*: create it/,
  );
  assertFalse(error.retryable);
  assertMatch((await failure(() => store.get("a"))).message, /S3_BUCKET .* does not exist/);
  store.close();
});

Deno.test("S3Store: a server that ignores the condition of a put is refused at start, and the probe is removed", () =>
  behindProxy(async ({ proxied, direct, proxy }) => {
    let puts = 0;
    proxy.rule = (request) =>
      isPut(request) && ++puts === 2 ? { type: "answer", status: 200, body: "" } : { type: "pass" };
    const error = await failure(() => proxied.prepare());
    assertMatch(
      error.message,
      /^Cannot commit to s3:.* ignores the condition of a put \(If-None-Match: \*\)/,
    );
    assertFalse(error.retryable);
    assertEquals(await direct.list(""), []);
  }));

Deno.test("S3Store: a server that is no S3, or wants https, is told as that", () =>
  behindProxy(async ({ proxied, proxy }) => {
    proxy.rule = () => ({
      type: "answer",
      status: 400,
      body: "Client sent an HTTP request to an HTTPS server.\n",
    });
    const error = await failure(() => proxied.prepare());
    assertMatch(
      error.message,
      /S3_ENDPOINT http:.* does not speak this protocol: check the scheme \(http or https\)/,
    );
    assertFalse(error.retryable);
  }));

Deno.test("S3Store: a server that does not know the condition of a put is refused at start", () =>
  behindProxy(async ({ proxied, proxy }) => {
    const body = "<Error><Code>NotImplemented</Code><Message>A header you provided</Message></Error>";
    proxy.once(isPut, { type: "answer", status: 501, body });
    const error = await failure(() => proxied.prepare());
    assertMatch(error.message, /does not know conditional puts \(If-None-Match\)/);
    assertFalse(error.retryable);
  }));
