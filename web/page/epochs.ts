/** The last epochs as a timeline: how long each took to be sealed, uploaded, committed and inserted. */
/// <reference lib="dom" />
import { html, nothing, svg, type TemplateResult } from "lit-html";
import type { Status } from "../api_schema.ts";
import { bytes, count, duration, plural } from "./format.ts";
import { type Column, type Content, table, time } from "./parts.ts";

type Epoch = Status["epochs"][number];

const STAGES = [
  { name: "seal", from: "askedMs", to: "sealedMs", color: "s1" },
  { name: "upload", from: "sealedMs", to: "uploadedMs", color: "s2" },
  { name: "commit", from: "uploadedMs", to: "committedMs", color: "s3" },
  { name: "insert", from: "committedMs", to: "insertedMs", color: "s4" },
] as const;

const SHOWN = 60;
const HEIGHT = 100;
/** Epochs took longer than this only in part: the axis has room for the longest, at least so much. */
const SCALE_MIN_MS = 100;

/** Milliseconds of a stage; one that is under way counts until now, one that is not reached is null. */
function spent(epoch: Epoch, { from, to }: typeof STAGES[number], now: number): number | null {
  const start = epoch[from];
  return start === null ? null : Math.max(0, (epoch[to] ?? now) - start);
}

function total(epoch: Epoch, now: number): number {
  return Math.max(0, (epoch.insertedMs ?? now) - epoch.askedMs);
}

/** The chart, the slider that chooses an epoch, what is known of it, and all of it as a table. */
export function renderEpochs(
  { epochs, now }: Status,
  chosen: number | null,
  choose: (epoch: number | null) => void,
): TemplateResult {
  const shown = epochs.slice(-SHOWN);
  const newest = shown.at(-1);
  if (newest === undefined) return html`<p class="empty">The first epoch is still to come.</p>`;
  const epoch = shown.find((one) => one.epoch === chosen) ?? newest;
  const longest = Math.max(SCALE_MIN_MS, ...shown.map((one) => total(one, now)));
  const picked = (event: Event) => {
    const index = Number((event.target as HTMLInputElement).value);
    choose(index === shown.length - 1 ? null : shown[index]!.epoch);
  };
  return html`
    <ul class="legend">${STAGES.map(({ name, color }) =>
      html`<li><span class="swatch ${color}"></span>${name}</li>`
    )}</ul>
    <div class="epochs">
      <div class="scale"
        aria-hidden="true"><span>${duration(longest)}</span><span>${duration(
          longest / 2,
        )}</span><span>0 ms</span></div>
      <svg viewBox="0 0 ${SHOWN * 10} ${HEIGHT}" preserveAspectRatio="none" role="img"
        aria-label="Time of the last ${shown.length} epochs by stage; the longest took ${duration(longest)}">
        <line class="grid" x1="0" x2=${SHOWN * 10} y1="0.5" y2="0.5"></line>
        <line class="grid" x1="0" x2=${SHOWN * 10} y1=${HEIGHT / 2} y2=${HEIGHT / 2}></line>
        ${shown.map((one, index) =>
          renderEpoch(
            one,
            (SHOWN - shown.length + index) * 10,
            longest,
            now,
            one === epoch,
            () => choose(one.epoch),
          )
        )}
      </svg>
    </div>
    <label class="pick">Epoch
      <input type="range" min="0" max=${shown.length - 1} .value=${String(
        shown.indexOf(epoch),
      )} @input=${picked}
        aria-valuetext="Epoch ${epoch.epoch}" ?disabled=${shown.length === 1} />
      <output>${count(epoch.epoch)}${epoch === newest ? ", the newest" : nothing}</output>
    </label>
    ${renderFacts(epoch, now)}
    <details><summary>All of them as a table</summary>${table(
      "Epochs",
      columnsOf(now),
      [...shown].reverse(),
    )}</details>
  `;
}

function renderEpoch(
  epoch: Epoch,
  x: number,
  longest: number,
  now: number,
  isChosen: boolean,
  choose: () => void,
): TemplateResult {
  let y = HEIGHT;
  const parts = STAGES.flatMap((stage) => {
    const height = (spent(epoch, stage, now) ?? 0) / longest * HEIGHT;
    if (height === 0) return [];
    y -= height;
    return [svg`<rect class=${stage.color} x=${x + 1.5} y=${y} width="7" height=${height}></rect>`];
  });
  return svg`<g class=${isChosen ? "chosen" : ""} @click=${choose}>
    <rect class="target" x=${x} y="0" width="10" height=${HEIGHT}></rect>${parts}</g>` as TemplateResult;
}

function renderFacts(epoch: Epoch, now: number): TemplateResult {
  const stages = STAGES.map((stage): readonly [string, Content] => {
    const ms = spent(epoch, stage, now);
    const pending = epoch[stage.to] === null && ms !== null;
    return [stage.name, ms === null ? "–" : `${duration(ms)}${pending ? ", so far" : ""}`];
  });
  const facts: readonly (readonly [string, Content])[] = [
    ["asked for", time(epoch.askedMs)],
    ...stages,
    ["all", duration(total(epoch, now))],
    [
      "landed",
      epoch.sessions === null
        ? "not yet"
        : `${plural(epoch.sessions, "session")}, ${bytes(epoch.bytes ?? 0)}`,
    ],
    ["of", epoch.events === null ? "–" : plural(epoch.events, "event")],
    ["dead letters", epoch.deadLetters === null ? "–" : count(epoch.deadLetters)],
    ["version", epoch.version === null ? "–" : count(epoch.version)],
    ["closed by", epoch.closedBy ?? "–"],
  ];
  return html`<dl class="facts">${
    facts.map(([name, value]) =>
      html`
        <div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }</dl>`;
}

function columnsOf(now: number): readonly Column<Epoch>[] {
  return [
    { title: "Epoch", cell: ({ epoch }) => count(epoch), number: true },
    { title: "Asked for", cell: ({ askedMs }) => time(askedMs) },
    ...STAGES.map((stage): Column<Epoch> => ({
      title: stage.name,
      cell: (epoch) => {
        const ms = spent(epoch, stage, now);
        return ms === null ? "–" : duration(ms);
      },
      number: true,
    })),
    { title: "Sessions", cell: ({ sessions }) => sessions === null ? "–" : count(sessions), number: true },
    { title: "Events", cell: ({ events }) => events === null ? "–" : count(events), number: true },
    { title: "Version", cell: ({ version }) => version === null ? "–" : count(version), number: true },
  ];
}
