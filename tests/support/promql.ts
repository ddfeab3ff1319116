/** What a PromQL expression mentions, by the grammar that Prometheus's own editor uses. */
import { parser } from "@prometheus-io/lezer-promql";

export interface Expression {
  /** Where the grammar does not take the text; empty where it is valid. */
  readonly errors: readonly string[];
  readonly metrics: readonly string[];
  /** Label names in selectors, groupings and matchings. */
  readonly labels: readonly string[];
}

/** Parses an expression; it need not be valid. */
export function parseExpression(text: string): Expression {
  const errors: string[] = [];
  const metrics: string[] = [];
  const labels: string[] = [];
  parser.parse(text).iterate({
    enter({ name, type, from, to, node }) {
      const slice = text.slice(from, to);
      if (type.isError) errors.push(`at ${from} of ${text}`);
      else if (name === "Identifier" && node.parent?.name === "VectorSelector") metrics.push(slice);
      else if (name === "LabelName") labels.push(slice);
    },
  });
  return { errors, metrics, labels };
}
