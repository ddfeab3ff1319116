/** The options of `sessionary erase`. */
import { duration, integer, type SettingTable, text, toggle } from "./setting.ts";

const ERASE = "Erase:";
const USER_ID_MAX = 4_294_967_295;

/** All of them. */
export const ERASE_SETTINGS = {
  userId: integer({ env: "ERASE_USER_ID", group: ERASE, doc: "the reader whose sessions go" }, null, {
    minimum: 0,
    maximum: USER_ID_MAX,
  }),
  sessionId: text(
    { env: "ERASE_SESSION_ID", group: ERASE, doc: "the session that goes" },
    null,
    /^[^]{1,128}$/,
    "a session id of 1 to 128 characters",
  ),
  wait: duration(
    {
      env: "ERASE_WAIT",
      group: ERASE,
      doc: "how long to wait for running instances to forget what is open; 0ms where none runs",
    },
    "60s",
    "0ms",
    "1h",
  ),
  dryRun: toggle({ env: "ERASE_DRY_RUN", group: ERASE, doc: "count what would go, and change nothing" }),
  json: toggle({ env: "ERASE_JSON", group: ERASE, doc: "print the report as JSON" }),
} as const satisfies SettingTable;
