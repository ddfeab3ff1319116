/** The page in a real browser over a running `dev`: its figures, what moves, what falls, and what must never happen. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import axe from "axe-core";
import { systemClock } from "../../actors/clock.ts";
import { httpAccess } from "../../sinks/warehouse/clickhouse_access.ts";
import type { Analytics, OpenSessions, Sessions, Status, Table, Versions } from "../../web/api_schema.ts";
import { visible } from "../../web/page/format.ts";
import { optionsOf } from "../services/harness/clickhouse.ts";
import { HOSTILE_TEXTS, hostileDeadLetters, hostileSessions } from "../support/hostile_records.ts";
import { PageWorld, until, type Visit } from "../support/page_world.ts";
import { eventBytes } from "../support/records.ts";

const VIEWS = ["#/flow", "#/sessions", "#/analytics?range=all", "#/table"] as const;
/** The hostile sessions' day, which gets no others: it stands still while the rest moves. */
const DAY = "since=2023-11-14T00:00:00Z&until=2023-11-15T00:00:00Z";
const OPEN_ID = "open <i>for</i> a while";
/** An outage must show, and its end too, within this time. */
const SHOWN_MS = 5_000;

let world: PageWorld;

Deno.test.beforeAll(async () => {
  const open = { session_id: OPEN_ID, user_id: 77, timestamp: Date.now(), page_url: "https://x.example/<b>" };
  world = await PageWorld.start({
    env: { EPOCH_INTERVAL: "2s" },
    args: ["--rate", "40"],
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
      await visit.waitFor(/^All is well/);
      await visit.page.locator("main .card > .scroll tbody tr").first().waitFor();
    }
    const headers = (await visit.page.request.get(world.program.url)).headers();
    assertMatch(
      headers["content-security-policy"]!,
      /default-src 'none'.*script-src 'self'.*style-src 'self'/,
    );
    assert(!/unsafe/.test(headers["content-security-policy"]!));
  }));

Deno.test("The number of sessions is one on the page, in the API and in ClickHouse, and moves without a reload", () =>
  withVisit(async (visit) => {
    await visit.goTo("#/flow");
    const figure = visit.page.locator("[data-figure=sessions]");
    await figure.waitFor();
    const agree = () =>
      until("three equal figures", async () => {
        const shown = plain(await figure.innerText());
        const { totals } = await world.api<Status>("/api/status");
        const [[stored]] = await sql("SELECT count() FROM session_metrics FINAL WHERE sign = 1") as [
          [number],
        ];
        return shown === totals.sessions && shown === stored && shown;
      });
    const first = await agree();
    const second = await until("more sessions", async () => {
      const shown = plain(await figure.innerText());
      return shown > first && shown;
    });
    assert(await agree() >= second);
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

Deno.test("The table's versions and rows are those of the Delta log, and go on to older pages", () =>
  withVisit(async (visit) => {
    await visit.goTo("#/table");
    const figure = (name: string) => visit.page.locator(`[data-figure=${name}]`);
    await until("the newest version on the page", async () => {
      const table = await world.api<Table>("/api/table");
      const rows = await sql("SELECT count() FROM session_metrics FINAL WHERE sign = 1");
      return plain(await figure("version").innerText()) === table.version &&
        plain(await figure("rows").innerText()) === table.rows && rows[0]![0] === table.rows;
    });
    const { versions } = await world.api<Versions>("/api/table/versions?limit=1");
    const shown = await until("the newest version in the list", async () => {
      const numbers = (await cells(visit, "Versions", [0])).flat().map(plain);
      return numbers[0]! >= versions[0]!.version && numbers;
    });
    assertEquals(shown, shown.map((_, i) => shown[0]! - i));
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

Deno.test("ClickHouse down is on the page within five seconds, with since when, and so is its coming back", () =>
  withVisit(async (visit) => {
    await visit.goTo("#/flow");
    await visit.waitFor(/^All is well/);
    const fell = systemClock.monotonic();
    world.proxy.setState("refuse");
    try {
      await visit.waitFor(/ClickHouse has been down since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/);
      assert(systemClock.monotonic() - fell < SHOWN_MS);
      assertMatch(await visit.text(".station.down .state"), /down since \d\d:\d\d:\d\d UTC/);
      // Long enough for an insert to fail many times.
      await systemClock.sleep(6_000);
    } finally {
      world.proxy.setState("up");
    }
    const rose = systemClock.monotonic();
    await visit.page.getByText("ClickHouse has been down").waitFor({ state: "detached" });
    assert(systemClock.monotonic() - rose < SHOWN_MS);
    // It still has to take in what was committed meanwhile.
    await visit.waitFor(/^All is well/);
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
        const wide =
          "[...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll *, pre, svg') && " +
          "e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className)";
        const wider = await visit.page.evaluate(
          `document.documentElement.scrollWidth > innerWidth ? ${wide} : []`,
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
    await visit.waitFor("Open sessions");
    assertEquals(await visit.page.title(), "Sessions · Sessionary");
  }));
