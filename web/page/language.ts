/**
 * Some browsers whose system has no language name what no formatter takes, such as `en-US@posix`, and uPlot, which
 * formats in the browser's language, fails as it loads. To be imported before it.
 */
/// <reference lib="dom" />
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
}
