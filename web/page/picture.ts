/** The picture: event log → session actors → epochs → Delta table → ClickHouse. */
import { html, nothing, type TemplateResult } from "lit-html";
import type { Status } from "../api_schema.ts";
import { bytes, count, decimal, duration, percent, plural, timeOfDay } from "./format.ts";
import { bar, type Content } from "./parts.ts";

const IN_FLIGHT_MAX = 2;
const FULL = 0.9;

type State = "good" | "busy" | "down";
const WORDS: Readonly<Record<State, string>> = { good: "working", busy: "busy", down: "down" };
const SIGNS: Readonly<Record<State, string>> = { good: "●", busy: "▲", down: "■" };

interface Station {
  readonly title: string;
  /** What it is, for a newcomer. */
  readonly what: string;
  readonly state: State;
  /** Instead of the state's own word. */
  readonly word?: string;
  readonly figure: Content;
  readonly facts: readonly (readonly [string, Content])[];
  readonly more?: Content;
}

/** All five stations, from left to right, or from top to bottom where the page is narrow. */
export function renderPicture(status: Status): TemplateResult {
  const stations = [log(status), actors(status), epochs(status), lake(status), warehouse(status)];
  return html`<ol class="picture" aria-label="The way from clicks to sessions">${
    stations.map(renderStation)
  }</ol>`;
}

function renderStation({ title, what, state, word, figure, facts, more }: Station): TemplateResult {
  return html`<li class="station ${state}">
    <h2>${title}</h2>
    <p class="state"><span aria-hidden="true">${SIGNS[state]}</span> ${word ?? WORDS[state]}</p>
    <p class="figure">${figure}</p>
    <dl>${
    facts.map(([name, value]) =>
      html`
        <div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }</dl>
    ${more ?? nothing}
    <p class="what">${what}</p>
  </li>`;
}

function log({ partitions, lagRecords, rates, source }: Status): Station {
  const largest = Math.max(1, ...partitions.map(({ lag }) => lag));
  return {
    title: "Event log",
    what: `Clicks wait here in order, one log a partition. From: ${source}.`,
    state: lagRecords > 10 * Math.max(1, rates.events) ? "busy" : "good",
    word: lagRecords > 0 ? "events wait" : "read to its end",
    figure: `${decimal(rates.events)} events/s`,
    facts: [
      ["Volume", `${bytes(rates.bytes)}/s`],
      ["Waiting", plural(lagRecords, "event")],
    ],
    more: html`<div class="bars" role="group" aria-label="Lag by partition">${
      partitions.slice(0, 32).map(({ partition, lag }) =>
        bar(lag / largest, `Partition ${partition}: ${count(lag)} events wait`, "thin")
      )
    }</div>`,
  };
}

function actors({ shards, openSessions, heldEvents }: Status): Station {
  const fullest = Math.max(
    0,
    ...shards.map(({ mailboxBytes, mailboxBytesMax }) => mailboxBytes / Math.max(1, mailboxBytesMax)),
  );
  return {
    title: "Session actors",
    what: "Each reader's clicks go to one actor, which knows when the session has ended.",
    state: fullest > FULL ? "busy" : "good",
    word: fullest > FULL ? "mailbox full" : undefined,
    figure: `${count(openSessions)} open`,
    facts: [["Held", plural(heldEvents, "event")]],
    more: html`<ul class="shards">${
      shards.map(({ shard, openSessions, mailboxBytes, mailboxBytesMax }) => {
        const fill = mailboxBytesMax === 0 ? 0 : mailboxBytes / mailboxBytesMax;
        return html`<li><span>${shard}</span>${
          bar(fill, `Mailbox of session actor ${shard}: ${percent(fill)} full`, fill > FULL ? "full" : "")
        }
        <span>${percent(fill)} full, ${count(openSessions)} open</span></li>`;
      })
    }</ul>`,
  };
}

function epochs({ lastEpoch, epochsInFlight, lastCommitMs, epochIntervalMs, totals }: Status): Station {
  return {
    title: "Epochs",
    what: `Every ${
      duration(epochIntervalMs)
    } a barrier closes an epoch: what has ended by then leaves together.`,
    state: epochsInFlight >= IN_FLIGHT_MAX ? "busy" : "good",
    figure: html`epoch <span data-figure="epoch">${count(lastEpoch)}</span>`,
    facts: [
      ["Under way", `${epochsInFlight} of ${IN_FLIGHT_MAX}`],
      ["Last commit", lastCommitMs === null ? "none yet" : timeOfDay(lastCommitMs)],
      ["Commits", count(totals.commits)],
      ["Checkpoint", "every 5th epoch"],
    ],
  };
}

function lake({ sinks, rates, deltaVersion }: Status): Station {
  const sink = sinks.lake;
  return {
    title: "Delta table",
    what: "Parquet files and one commit an epoch: the source of truth.",
    ...sinkState(sink),
    figure: `version ${count(Math.max(0, deltaVersion))}`,
    facts: [
      ["Written", `${bytes(rates.lakeBytes)}/s`],
      ["Sessions", count(sink?.rows ?? 0)],
      ["Tried again", plural(sink?.retries ?? 0, "time")],
    ],
  };
}

function warehouse({ sinks, rates, lagVersions }: Status): Station {
  const sink = sinks.warehouse;
  return {
    title: "ClickHouse",
    what: "Follows the table version by version, and answers queries.",
    ...sinkState(sink),
    figure: `${decimal(rates.warehouseRows)} sessions/s`,
    facts: [
      ["Behind", plural(lagVersions, "version")],
      ["Sessions", count(sink?.rows ?? 0)],
      ["Tried again", plural(sink?.retries ?? 0, "time")],
    ],
  };
}

function sinkState(sink: Status["sinks"]["lake"]): Pick<Station, "state" | "word"> {
  if (sink === null) return { state: "busy", word: "starting" };
  return sink.down === null
    ? { state: "good" }
    : { state: "down", word: `down since ${timeOfDay(sink.sinceMs)}` };
}
