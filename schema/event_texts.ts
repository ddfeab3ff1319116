/** What the events of a shard have in common, by number. */
import { RunTable } from "./run_table.ts";
import { TextTable } from "./text_table.ts";
import { TupleTable } from "./tuple_table.ts";
import { PAGE_FIELDS, PROFILE_FIELDS } from "./user_event.ts";

/** The texts of events, and the tuples of them that recur: what sessions refer to. */
export class EventTexts {
  readonly texts = new TextTable();
  readonly profiles = new TupleTable(PROFILE_FIELDS.length);
  readonly pages = new TupleTable(PAGE_FIELDS.length);
  /** Members of events that say a profile, or a page. */
  readonly profileRuns = new RunTable();
  readonly pageRuns = new RunTable();

  /** Bytes that the tables take in memory. */
  get byteLength(): number {
    return this.texts.byteLength + this.profiles.byteLength + this.pages.byteLength +
      this.profileRuns.byteLength +
      this.pageRuns.byteLength;
  }

  /**
   * Forgets the profiles and pages without a mark, and the texts that only they had.
   *
   * @param profiles not 0 at each to keep; gets 1 + its new number
   * @param pages likewise
   */
  compact(profiles: Uint32Array, pages: Uint32Array): void {
    const texts = new Uint32Array(this.texts.count + 1);
    for (const [table, kept] of [[this.profiles, profiles], [this.pages, pages]] as const) {
      const { values, width } = table;
      for (let i = 0; i < kept.length * width; i++) {
        if (kept[Math.floor(i / width)] !== 0) texts[values[i]!] = 1;
      }
    }
    texts[0] = 0;
    this.texts.compact(texts);
    this.profiles.compact(profiles, texts);
    this.pages.compact(pages, texts);
    this.profileRuns.clear();
    this.pageRuns.clear();
  }
}
