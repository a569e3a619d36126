// The claims of the last `fathom verify`: what formulas predict, what was measured, and how each was judged, with each check's figure.

import type { JSX } from "preact";
import type { Claim } from "../../types.ts";
import type { Verification } from "../api.ts";
import { listOf } from "./choice.ts";
import { apiAddress, useAnswer } from "./fetching.ts";
import { count, nothing, numberText } from "./format.ts";
import { anyChange } from "./live.ts";
import { choose, route } from "./route.ts";
import { notesOf, useSeen, VegaFigure } from "./vega-figure.tsx";
import { Empty, Problem, Waiting } from "./widgets.tsx";

type Check = Verification["checks"][number];
type Verdict = Claim["verdict"];

const verdicts: readonly Verdict[] = ["holds", "corrected", "fails"];
const looks: Readonly<Record<Verdict, { mark: string; style: string }>> = {
  holds: { mark: "✓", style: "good" },
  corrected: { mark: "≈", style: "stuck" },
  fails: { mark: "✕", style: "bad" },
};

/** The seed's questions on factors a layer come first: they are what all else is read with. */
const rank = ({ check }: Check): number => (check.startsWith("seed-q18") ? 0 : check.startsWith("seed-q19") ? 1 : 2);

/** The view. */
export function Verify(): JSX.Element {
  const { data, error } = useAnswer<Verification>(apiAddress(["verify"]), anyChange.value);
  if (!data) return error === undefined ? <Waiting what="the claims" /> : <Problem text={error} />;
  const wanted = listOf(route.value.state["verdict"]);
  const claims = data.checks.flatMap((check) => check.claims);
  const checks = data.checks
    .map((check, i) => ({ check, i }))
    .sort((a, b) => rank(a.check) - rank(b.check) || a.i - b.i)
    .map(({ check }) => ({
      ...check,
      claims: check.claims.filter(({ verdict }) => wanted.length === 0 || wanted.includes(verdict)),
    }))
    // One that cannot be read has no claims, and says why.
    .filter((check) => check.claims.length > 0 || (wanted.length === 0 && check.summary.startsWith("damaged:")));
  const toggle = (verdict: Verdict): void => {
    const next = wanted.includes(verdict) ? wanted.filter((one) => one !== verdict) : [...wanted, verdict];
    choose({ verdict: next.join(",") || undefined });
  };
  return (
    <>
      <div class="page-head">
        <h1>Verified claims</h1>
        <p class="soft">
          {count(data.checks.length, "check")}, {count(claims.length, "claim")}: what formulas predict against what was
          measured.
        </p>
      </div>
      {error !== undefined && <Problem text={error} />}
      {data.checks.length === 0 ? (
        <Empty title="Nothing has been verified here yet">
          <code>fathom verify</code> runs the checks; what it finds appears here.
        </Empty>
      ) : (
        <>
          <div class="chips" role="group" aria-label="Filter by verdict">
            {verdicts.map((verdict) => (
              <button
                key={verdict}
                type="button"
                class="chip"
                aria-pressed={wanted.includes(verdict)}
                onClick={() => toggle(verdict)}
              >
                <span class={looks[verdict].style}>
                  <i aria-hidden="true">{looks[verdict].mark}</i> {verdict}
                </span>{" "}
                <b>{claims.filter((claim) => claim.verdict === verdict).length}</b>
              </button>
            ))}
          </div>
          {checks.length === 0 && <Empty title="No claim has this verdict">Choose another above.</Empty>}
          {checks.map((check) => (
            <OneCheck key={check.check} check={check} />
          ))}
        </>
      )}
    </>
  );
}

function OneCheck({ check }: { check: Check }): JSX.Element {
  const { place, isSeen } = useSeen();
  const made = Date.parse(check.made);
  return (
    <section class="check" ref={place} aria-label={check.check}>
      <h2>{check.check}</h2>
      {check.claims.length === 0 ? <Problem text={check.summary} /> : <p>{check.summary}</p>}
      <p class="soft">
        {check.source}
        {Number.isFinite(made) && ` · measured ${new Date(made).toLocaleString()}`}
      </p>
      <div class="wide">
        <table class="claims">
          <thead>
            <tr>
              <th scope="col">verdict</th>
              <th scope="col">claim</th>
              <th scope="col" class="number">
                predicted
              </th>
              <th scope="col" class="number">
                measured
              </th>
              <th scope="col" class="number">
                off by
              </th>
              <th scope="col" class="number">
                tolerance
              </th>
            </tr>
          </thead>
          <tbody>
            {check.claims.map((claim) => (
              <ClaimRow key={claim.name} claim={claim} />
            ))}
          </tbody>
        </table>
      </div>
      {check.spec !== null && isSeen && (
        <figure class="vega">
          <h3>{titleOf(check.spec)}</h3>
          <VegaFigure spec={check.spec} name={check.check} label={`${check.check}: ${titleOf(check.spec)}`} />
          <figcaption>
            <p>{notesOf(check.spec)}</p>
          </figcaption>
        </figure>
      )}
    </section>
  );
}

function titleOf(spec: NonNullable<Check["spec"]>): string {
  const { title } = spec as { title?: unknown };
  if (typeof title === "string") return title;
  const { text } = (title ?? {}) as { text?: string | string[] };
  return [text ?? []].flat().join(" ");
}

function ClaimRow({ claim }: { claim: Claim }): JSX.Element {
  const { statement, predicted, measured, relativeError, tolerance, within, verdict, correction, spread } = claim;
  const off = Number.isFinite(relativeError)
    ? predicted === 0
      ? numberText(relativeError, 3)
      : percent(relativeError)
    : nothing;
  return (
    <tr>
      <td data-label="verdict" class={looks[verdict].style}>
        <i aria-hidden="true">{looks[verdict].mark}</i> {verdict}
      </td>
      <td class="text">
        {statement}
        {correction && (
          <span class="soft">
            {" "}
            Claimed was {numberText(correction.claimed)}; {correction.text}
          </span>
        )}
      </td>
      <td class="number" data-label="predicted">
        {numberText(predicted)}
      </td>
      <td class="number" data-label="measured">
        {numberText(measured)}
        {spread && (
          <span class="soft spread">
            {numberText(spread.low)} to {numberText(spread.high)}, {spread.seeds} seeds
          </span>
        )}
      </td>
      <td class="number" data-label="off by">
        {off}
      </td>
      <td class="number" data-label="tolerance">
        {predicted === 0 ? numberText(tolerance, 3) : percent(tolerance)}
        {within && (
          <span class="soft spread">
            within {numberText(within[0])} to {numberText(within[1])}
          </span>
        )}
      </td>
    </tr>
  );
}

const percent = (share: number): string =>
  share !== 0 && share < 1e-3 ? numberText(share, 2) : `${Number((100 * share).toPrecision(3))} %`;
