/** Events whose texts would do something if they were taken for anything but texts. */
import type { ProducedRecord } from "../../sources/source.ts";
import { eventBytes } from "./records.ts";

/** HTML, scripts, templates, addresses, SQL, controls, and marks that turn the writing around. */
export const HOSTILE_TEXTS: readonly string[] = [
  "<img src=x onerror=alert(1)>",
  `"><script>alert(2)</script>`,
  "</script><svg/onload=alert(3)>",
  "${alert(4)}{{7*7}}<%= 1 %>#{1}",
  "javascript:alert(5)//",
  "lit$<!--?lit$0$--><template>",
  "../../etc/passwd?x#/table",
  "%3Cb%3Eencoded%3C/b%3E%",
  "'; DROP TABLE session_metrics; --",
  "__proto__",
  "nul\u0000bell\u0007esc\u001b[31m tab\there",
  "left\u202eright\u2066isolate\u200bzero\ufeffmark",
];

/** Their day: 2023-11-14, UTC. */
export const HOSTILE_TIME = Date.UTC(2023, 10, 14, 22, 13, 20);

/** One whole session a text, which is its id, its brand, its place, its page and its title; each of them two events. */
export function hostileSessions(): ProducedRecord[] {
  return HOSTILE_TEXTS.flatMap((text, index) => {
    const session = {
      session_id: text,
      user_id: 4_000_000_000 + index,
      brand: text,
      country: text,
      city: text,
    };
    const page = {
      page_url: text,
      page_title: text,
      article_id: text,
      category: text,
      event_type: "article_view",
    };
    const events = [
      { ...session, ...page, event_id: "1", timestamp: HOSTILE_TIME },
      { ...session, event_id: "2", timestamp: HOSTILE_TIME + 5_000, event_type: "session_end" },
    ];
    const key = new TextEncoder().encode(text);
    return events.map((event) => ({ key, value: eventBytes(event) }));
  });
}

/** Records that are no events: HTML, and bytes that are no text. */
export function hostileDeadLetters(): ProducedRecord[] {
  const key = new TextEncoder().encode("<b>key</b>");
  const values = [
    new TextEncoder().encode("<script>alert(6)</script>\u0000"),
    Uint8Array.of(0xff, 0xfe, 0x00, 0x3c),
  ];
  return values.map((value) => ({ key, value }));
}
