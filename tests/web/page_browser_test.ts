/** The page in a real browser over a running `dev`: its figures, what moves, what falls, and what must never happen. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import axe from "axe-core";
import { systemClock } from "../../actors/clock.ts";
import { httpAccess } from "../../sinks/warehouse/clickhouse_access.ts";
import type { Analytics, OpenSessions, Sessions, Status, Versions } from "../../web/api_schema.ts";
import { visible } from "../../web/page/format.ts";
import { optionsOf } from "../services/harness/clickhouse.ts";
import { HOSTILE_TEXTS, hostileDeadLetters, hostileSessions } from "../support/hostile_records.ts";
import { PageWorld, until, type Visit } from "../support/page_world.ts";
import { eventBytes } from "../support/records.ts";

const VIEWS = ["#/flow", "#/sessions", "#/analytics?range=all", "#/table"] as const;
/** The hostile sessions' day, which gets no others: it stands still while the rest moves. */
const DAY = "since=2023-11-14T00:00:00Z&until=2023-11-15T00:00:00Z";
/** What headless Chromium says its language is where the system's is `C`. */
const NO_LANGUAGE = "en-US@posix";
const OPEN_ID = "open <i>for</i> a while";

let world: PageWorld;

Deno.test.beforeAll(async () => {
  const open = { session_id: OPEN_ID, user_id: 77, timestamp: Date.now(), page_url: "https://x.example/<b>" };
  world = await PageWorld.start({
    env: { EPOCH_INTERVAL: "3s" },
    args: ["--rate", "20"],
    records: [
      ...hostileSessions(),
      ...hostileDeadLetters(),
      { key: new TextEncoder().encode(OPEN_ID), value: eventBytes({ ...open, event_type: "article_view" }) },
    ],
  });
  await until(
    "the first sessions",
    async () => (await world.api<Status>("/api/status")).totals.sessions > 20,
  );
});

Deno.test.afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** Runs SQL of the test's own, past the program and its proxy. */
async function sql(query: string): Promise<unknown[][]> {
  await using client = httpAccess(optionsOf(world.clickhouse, "default")).client;
  const settings = { output_format_json_quote_64bit_integers: 0, date_time_output_format: "iso" } as const;
  const result = await client.query({ query, format: "JSONCompactEachRow", clickhouse_settings: settings });
  return await result.json() as unknown[][];
}

function plain(text: string): number {
  return Number(text.replaceAll(",", ""));
}

async function withVisit(work: (visit: Visit) => Promise<void>): Promise<void> {
  await using visit = await world.visit();
  await work(visit);
  visit.assertFaultless();
}

/** Chosen cells of a table's rows, all as they are at one moment. */
async function cells(visit: Visit, label: string, columns: readonly number[]): Promise<string[][]> {
  const rows = `[...document.querySelectorAll('[role=region][aria-label="${label}"] tbody tr')]`;
  const texts = await visit.page.evaluate(
    `${rows}.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))`,
  );
  return (texts as string[][]).map((row) => columns.map((column) => row[column]!));
}

Deno.test("Every view opens without an error, a violation of the policy, or a request to anywhere else", () =>
  withVisit(async (visit) => {
    for (const view of VIEWS) {
      await visit.goTo(view);
      await visit.page.locator("main .card > .scroll tbody tr").first().waitFor();
    }
    const headers = (await visit.page.request.get(world.program.url)).headers();
    assertMatch(
      headers["content-security-policy"]!,
      /default-src 'none'.*script-src 'self'.*style-src 'self'/,
    );
    assert(!/unsafe/.test(headers["content-security-policy"]!));
  }));

Deno.test("A browser of a system without a language draws the charts all the same", async () => {
  await using visit = await world.visit({ locale: NO_LANGUAGE });
  await visit.goTo("#/flow");
  await visit.page.locator("main canvas").first().waitFor();
  visit.assertFaultless();
});

/** What ClickHouse has of the epochs up to `epoch`. */
async function storedUpTo(epoch: number): Promise<unknown> {
  const [[count]] = await sql(
    `SELECT count() FROM session_metrics FINAL WHERE sign = 1 AND batch_id <= ${epoch}`,
  ) as [[unknown]];
  return count;
}

Deno.test("The number of sessions is one on the page, in the API and in ClickHouse, and moves without a reload", () =>
  withVisit(async (visit) => {
    await visit.goTo("#/flow");
    await visit.page.locator("[data-figure=sessions]").waitFor();
    // Both at one moment: all of it goes on.
    const shown = async () => {
      const texts = await visit.page.evaluate(
        "['sessions', 'epoch'].map((name) => document.querySelector(`[data-figure=${name}]`).innerText)",
      ) as string[];
      const [sessions, epoch] = texts.map((text) => plain(text.replace(/\D/g, "")));
      return { sessions: sessions!, epoch: epoch! };
    };
    const { totals, lastEpoch } = await world.api<Status>("/api/status");
    const first = await shown();
    const later = await until("more sessions", async () => {
      const now = await shown();
      return now.sessions > first.sessions && now;
    });
    for (const { sessions, epoch } of [first, later, { sessions: totals.sessions, epoch: lastEpoch }]) {
      await until(
        `${sessions} sessions up to epoch ${epoch}`,
        async () => await storedUpTo(epoch) === sessions,
      );
    }
  }));

Deno.test("Analytics over a time range are the same on the page, in the API and by ClickHouse's own count", () =>
  withVisit(async (visit) => {
    await visit.goTo(`#/analytics?${DAY}`);
    const { totals } = await world.api<Analytics>(`/api/analytics/brand_analytics?limit=20&${DAY}`);
    const stored = await sql(
      "SELECT brand, count(), sum(total_events) FROM session_metrics FINAL " +
        "WHERE sign = 1 AND toDate(session_start) = '2023-11-14' GROUP BY brand ORDER BY count() DESC, brand",
    );
    assertEquals(stored.length, HOSTILE_TEXTS.length);
    const of = (name: string) => totals.columns.indexOf(name);
    assertEquals(
      totals.rows.map((row) => [row[of("brand")], row[of("sessions")], row[of("total_events")]]),
      stored,
    );
    await visit.page.locator("[data-analytics=brand_analytics] button").click(); // more than ten rows
    await until("all rows", async () => (await cells(visit, "News sites", [0])).length === stored.length);
    assertEquals(
      await cells(visit, "News sites", [0, 1, 3]),
      stored.map(([brand, sessions, events]) => [visible(String(brand)), String(sessions), String(events)]),
    );
  }));

Deno.test("The six analytics all have a chart and a table, and the table's sums are ClickHouse's", () =>
  withVisit(async (visit) => {
    await visit.goTo(`#/analytics?${DAY}`);
    for (
      const name of ["session_summary", "brand_analytics", "device_analytics", "geographic_analytics"]
        .concat("subscription_analytics", "page_analytics")
    ) {
      const part = visit.page.locator(`[data-analytics=${name}]`);
      await part.locator("time-chart canvas").waitFor();
      await part.locator("tbody tr").first().waitFor();
      const { series, weight } = await world.api<Analytics>(`/api/analytics/${name}?${DAY}`);
      const total = series.rows.reduce((sum, row) => sum + Number(row[series.columns.indexOf(weight)]), 0);
      assertEquals(total, HOSTILE_TEXTS.length, name);
    }
  }));

Deno.test("A finished session is found by its id and by its reader, with its pages", () =>
  withVisit(async (visit) => {
    const { columns, rows } = await world.api<Sessions>("/api/sessions?limit=1");
    const session = Object.fromEntries(columns.map((name, i) => [name, rows[0]![i]]));
    await visit.goTo("#/sessions");
    await visit.page.getByLabel("Value").fill(String(session.session_id));
    await visit.page.getByRole("button", { name: "Find" }).click();
    await visit.waitFor(`Finished by ${session.close_reason}`);
    const [[pages]] = await sql(
      `SELECT pages_visited_count FROM session_metrics FINAL WHERE session_id = '${session.session_id}' AND sign = 1`,
    ) as [[number]];
    if (pages > 0) assertEquals((await cells(visit, "Pages", [0])).length, pages);
    await visit.page.getByLabel("Find by").selectOption("user_id");
    await visit.page.getByLabel("Value").fill(String(session.user_id));
    await visit.page.getByRole("button", { name: "Find" }).click();
    await visit.waitFor(`Finished sessions of reader ${session.user_id}`);
    const found = await until("the reader's sessions", async () => {
      const shown = await cells(visit, "Finished sessions", [0]);
      return shown.length > 0 && shown;
    });
    assert(found.some(([id]) => id === session.session_id));
  }));

Deno.test("An open session says why it is still open, and when it closes at the earliest", () =>
  withVisit(async (visit) => {
    await visit.goTo(`#/sessions/id/${encodeURIComponent(OPEN_ID)}`);
    await visit.waitFor("Why is it still open?");
    const { sessions: [session] } = await world.api<OpenSessions>(
      `/api/open-sessions?session_id=${encodeURIComponent(OPEN_ID)}`,
    );
    assertEquals(session!.events, 1);
    assertEquals(session!.explanation.deadlineMs, session!.end + 30 * 60_000);
    const ways = new Map(session!.explanation.ways.map((way) => [way.reason, way]));
    // An event of another reader, as far ahead of the clock as may be, brings the watermark there.
    assertEquals(ways.get("timeout")!.earliestMs, session!.end + 30 * 60_000 + 1);
    assertMatch(
      await visit.text(".answer"),
      /^No session_end has come; .* 30 min .* watermark of partition \d/,
    );
    assertEquals((await cells(visit, "What would close it", [0])).flat(), [
      "session_end",
      "timeout",
      "idle",
      "cap",
    ]);
    assertStringIncludes(await visit.text("main .facts"), "https://x.example/<b>");
  }));

Deno.test("The table's versions and rows are those of the Delta log and of ClickHouse", () =>
  withVisit(async (visit) => {
    await visit.goTo("#/table");
    await visit.page.locator("[data-figure=rows]").waitFor();
    const [version, rows] = (await visit.page.evaluate(
      "['version', 'rows'].map((name) => document.querySelector(`[data-figure=${name}]`).innerText)",
    ) as string[]).map(plain);
    const { versions } = await world.api<Versions>(`/api/table/versions?limit=200&before=${version! + 1}`);
    assertEquals(versions.map(({ version }) => version), versions.map((_, i) => version! - i));
    assertEquals(versions.at(-1)!.version, 0);
    assertEquals(versions.reduce((sum, { rowsAdded }) => sum + rowsAdded!, 0), rows);
    const epoch = Math.max(...versions.map(({ epoch }) => epoch ?? 0));
    await until(`${rows} rows up to epoch ${epoch}`, async () => await storedUpTo(epoch) === rows);
    await visit.page.locator("[aria-label=Versions] tbody tr").first().waitFor();
    const listed = (await cells(visit, "Versions", [0, 4])).map(([number, added]) => [plain(number!), added]);
    const known = new Map(
      (await world.api<Versions>("/api/table/versions?limit=200")).versions.map((one) => [one.version, one]),
    );
    assertEquals(listed, listed.map(([number]) => [number, `+${known.get(Number(number))!.rowsAdded}`]));
  }));

Deno.test("Texts made of HTML, scripts, templates and controls are shown as texts everywhere", () =>
  withVisit(async (visit) => {
    for (const [index, text] of HOSTILE_TEXTS.entries()) {
      await visit.goTo(`#/sessions/id/${encodeURIComponent(text)}`);
      await visit.waitFor("Finished by session_end");
      assertEquals(await visit.text("h2.subject .foreign"), visible(text));
      // Page, title and article, each of them the text itself.
      assertEquals(await cells(visit, "Pages", [2, 3, 4]), [[text, text, text].map(visible)]);
      await visit.goTo(`#/sessions/user/${4_000_000_000 + index}`);
      await until("its row", async () => (await cells(visit, "Finished sessions", [0])).length === 1);
      assertEquals(await cells(visit, "Finished sessions", [0, 3, 4]), [[text, text, text].map(visible)]);
    }
    await visit.goTo("#/table/dead-letters");
    const letters = visit.page.locator("#dead-letters details");
    await letters.first().waitFor();
    for (const letter of await letters.all()) await letter.locator("summary").click();
    const dumps = (await visit.page.locator("#dead-letters pre").allInnerTexts()).join("\n");
    assertStringIncludes(dumps, "<script>alert(6)");
    assertStringIncludes(dumps, "ff fe 00 3c");
    for (const view of [...VIEWS, `#/analytics?${DAY}`]) {
      await visit.goTo(view);
      await visit.page.locator("main .card > .scroll tbody tr").first().waitFor();
      const made = "#app :is(script, iframe, object, embed, i, b, svg[onload], img:not([alt='']), [onerror])";
      assertEquals(await visit.page.locator(made).count(), 0, view);
    }
  }));

/** Milliseconds after which an operator knows at the latest: what the page promises, not how fast it is. */
const OUTAGE_SHOWN_MS = 5_000;

Deno.test("ClickHouse down is on the page within 5 s, without a reload, with since when, and so is its coming back", () =>
  withVisit(async (visit) => {
    await visit.goTo("#/flow");
    const down = visit.page.getByText("ClickHouse has been down");
    await visit.page.locator(".station").last().waitFor();
    await down.waitFor({ state: "detached" });
    const fell = systemClock.now();
    world.proxy.setState("refuse");
    try {
      await visit.waitFor(/ClickHouse has been down since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/);
      assert(systemClock.now() - fell <= OUTAGE_SHOWN_MS, `shown after ${systemClock.now() - fell} ms`);
      assertMatch(await visit.text(".station.down .state"), /down since \d\d:\d\d:\d\d UTC/);
      const { sinks } = await world.api<Status>("/api/status");
      assert(sinks.warehouse!.sinceMs >= fell);
      // Until inserts fail too: the next one must not take it for up.
      await until("a failed insert", async () => (await world.api<Status>("/api/status")).lagVersions > 1);
      assertEquals(await down.count(), 1);
    } finally {
      world.proxy.setState("up");
    }
    const rose = systemClock.now();
    await down.waitFor({ state: "detached" });
    assert(systemClock.now() - rose <= OUTAGE_SHOWN_MS, `gone after ${systemClock.now() - rose} ms`);
  }));

Deno.test("axe finds no serious fault in any view, in light and dark, wide and narrow", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [1440, 390]) {
      // The policy would keep axe out: here it is left off, and all other tests have it on.
      await using visit = await world.visit({
        colorScheme,
        bypassCSP: true,
        viewport: { width, height: 900 },
      });
      for (const view of [...VIEWS, `#/sessions/id/${encodeURIComponent(OPEN_ID)}`]) {
        await visit.goTo(view);
        await visit.page.locator("main .card > .scroll tbody tr").first().waitFor();
        await visit.page.evaluate(axe.source);
        const { violations } = await visit.page.evaluate("axe.run()") as { violations: Violation[] };
        const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
        const found = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(" ")}`);
        assertEquals(found, [], `${view}, ${colorScheme}, ${width} pixels`);
        const wide = "[...document.querySelectorAll('main *')].filter((element) => " +
          "element.getBoundingClientRect().right > innerWidth).map((element) => element.outerHTML.slice(0, 80))";
        const wider = await visit.page.evaluate(
          `document.documentElement.scrollWidth > innerWidth ? ["the page", ...${wide}] : []`,
        );
        assertEquals(wider, [], `${view} is not wider than ${width} pixels`);
      }
    }
  }
});

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly target: readonly string[] }[];
}

Deno.test("The keyboard alone goes from view to view", () =>
  withVisit(async (visit) => {
    await visit.goTo("#/flow");
    await visit.page.locator("main .card > .scroll tbody tr").first().waitFor();
    await visit.page.keyboard.press("Tab");
    assertEquals(await visit.page.evaluate("document.activeElement.textContent"), "To the content");
    for (const name of ["Sessionary", "Flow", "Sessions"]) {
      await visit.page.keyboard.press("Tab");
      assertEquals(await visit.page.evaluate("document.activeElement.textContent.trim()"), name);
    }
    await visit.page.keyboard.press("Enter");
    await until("the title of the view", async () => await visit.page.title() === "Sessions · Sessionary");
    await visit.page.getByLabel("Find by").waitFor(); // which only this view has
  }));
