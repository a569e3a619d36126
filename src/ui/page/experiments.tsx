// All experiments of the folder, the one that changed last first.

import { useEffect, useState } from "preact/hooks";
import type { JSX } from "preact";
import type { ExperimentList, ExperimentSummary, RunStatus } from "../api.ts";
import { statuses } from "./choice.ts";
import { apiAddress, useAnswer } from "./fetching.ts";
import { agoText, count } from "./format.ts";
import { anyChange } from "./live.ts";
import { adjust, route, viewAddress } from "./route.ts";
import { CountsBar, Empty, Problem, Waiting } from "./widgets.tsx";

const kindNames = { transformer: "transformer", vae: "VAE", gan: "GAN" } as const;

/** The list. */
export function Experiments(): JSX.Element {
  const { data, error } = useAnswer<ExperimentList>(apiAddress(["experiments"]), anyChange.value);
  const now = useNow();
  const wanted = (route.value.state["find"] ?? "").toLowerCase();
  if (!data) return error === undefined ? <Waiting what="the folder" /> : <Problem text={error} />;
  const shown = data.experiments.filter(({ name, question }) => `${name} ${question}`.toLowerCase().includes(wanted));
  return (
    <>
      <div class="page-head">
        <h1>Experiments</h1>
        <p class="soft">
          {count(data.experiments.length, "experiment")} in <code>{data.folder}</code>
        </p>
        {data.experiments.length > 6 && (
          <input
            type="search"
            class="search"
            placeholder="Find by name or question"
            aria-label="Find experiments"
            value={route.value.state["find"] ?? ""}
            onInput={(event) => adjust({ find: event.currentTarget.value || undefined })}
          />
        )}
      </div>
      {error !== undefined && <Problem text={error} />}
      {data.experiments.length === 0 ? (
        <Empty title="No experiment here yet">
          Begin one with <code>fathom train configs/debug.yaml --out {data.folder}</code> (4 seconds): it appears here
          by itself.
        </Empty>
      ) : shown.length === 0 ? (
        <Empty title="No experiment matches">Take a word out of the search.</Empty>
      ) : (
        <ul class="cards">
          {shown.map((one) => (
            <li key={one.name}>
              <Card experiment={one} now={now} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Card({ experiment, now }: { experiment: ExperimentSummary; now: number }): JSX.Element {
  const { name, question, kinds, counts, changed, damage } = experiment;
  const known = statuses.map((status): [RunStatus, number] => [status, counts[status] ?? 0]);
  const runs = known.reduce((sum, [, n]) => sum + n, 0);
  const isRunning = (counts["running"] ?? 0) > 0;
  return (
    <article class={isRunning ? "card is-running" : "card"}>
      <h2>
        <a href={viewAddress(name, "runs")}>{name}</a>
      </h2>
      {question !== "" && <p class="card-question">{question}</p>}
      {damage !== undefined && <Problem text={damage} />}
      {runs > 0 && <CountsBar counts={known} />}
      <p class="card-facts">
        {[kinds.map((kind) => kindNames[kind]).join(", "), runs > 0 ? count(runs, "run") : "", agoText(changed, now)]
          .filter((text) => text !== "")
          .map((text) => (
            <span key={text}>{text}</span>
          ))}
      </p>
    </article>
  );
}

/** The time, so that "4 min ago" becomes "5 min ago". */
function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 20_000);
    return () => clearInterval(timer);
  }, []);
  // A change may be younger than the last tick.
  return Math.max(now, Date.now());
}
