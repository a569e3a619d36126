// A reading thread: see thread.ts.

import { jobs } from "./jobs.ts";
import { serveJobs } from "./thread.ts";

serveJobs(jobs);
