// The batch script of a task: what stands between Slurm, its signals above all, and `fathom run`. It needs nothing of the sweep's
// process, which may be gone.

import type { Work } from "./launcher.ts";
import { shellQuoted } from "./tasks.ts";

/** How often a task is run again whose runs another process works on. */
const mostBusy = 3;

/** The script of the tasks of the submission in `folder`. Its own words are constants; what comes from outside is quoted at its head. */
export function scriptOf({
  folder,
  experimentDir,
  command,
  retries,
  requeues,
}: Pick<Work, "experimentDir" | "command"> & { folder: string; retries: number; requeues: number }): string {
  const words = [process.execPath, ...command].map(shellQuoted).join(" ");
  return `#!/bin/bash
# A task of an array that \`fathom sweep --launcher slurm\` has submitted: makes the runs of its line in \`tasks\`. What it does at
# signals and exit codes is in docs/clusters.md. Its argument is the number of the array's first task.

here=${shellQuoted(folder)}
experiment=${shellQuoted(experimentDir)}
fathom=(${words})
most_failures=${retries} most_busy=${mostBusy} most_requeues=${requeues}

# Those that a run before this one refused are not tried again.
retry=
[ "\${SLURM_RESTART_COUNT:-0}" = 0 ] || retry=--retry

me=\${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
task=$(($1 + SLURM_ARRAY_TASK_ID))
state=$here/$task.state
if ! read -r indices hashes ids < <(sed -n "$((task + 1))p" "$here/tasks"); then
  echo "fathom: $here/tasks: expected line $((task + 1)), got none on $(hostname): is this folder on a file system that all nodes share?" >&2
  exit 1
fi

# How often it has failed, met another process at its runs, been interrupted; then the exit code of its end, - before that.
failures=0 busy=0 requeues=0
[ ! -f "$state" ] || read -r failures busy requeues _ <"$state"
keep() { echo "$failures $busy $requeues $1" >"$state.tmp" && mv "$state.tmp" "$state"; }
say() { echo "fathom: task $me, restart \${SLURM_RESTART_COUNT:-0} on $(hostname), $(date +%FT%T): $*"; }
finish() {
  keep "$1"
  say "ends with exit code $1"
  exit "$1"
}

# SIGUSR2 tells a run to save and to end however often it comes. Slurm sends SIGTERM to all processes by itself where it means all.
signals=0 child=
told() {
  signals=$((signals + 1))
  [ -z "$child" ] || kill -s USR2 "$child" 2>/dev/null
}
trap told USR2 TERM INT

# Has Slurm run this task again; ends it with exit code $1 where it was cancelled meanwhile, or Slurm will not.
again() {
  local now
  for attempt in 1 2 3 4 5; do
    [ ! -e "$here/$task.cancelled" ] || finish "$1"
    if now=$(squeue --noheader --jobs="$me" --format=%T); then
      [ "$now" = RUNNING ] || finish "$1"
      keep -
      say "to be run again"
      scontrol requeue "$me" && exit 0
    fi
    sleep $((2 * attempt)) # Slurm's controller may be away
  done
  finish "$1"
}

keep -
say "runs $indices"
# A run by itself says what it has to say here; of several each has a process of its own, which writes its log.
case $ids in
  *,*) log=/dev/null ;;
  *) log=$experiment/runs/$ids/log.txt ;;
esac
# A job step, since steps alone are told of a pre-emption whose partition has a GraceTime: they get SIGTERM, this script nothing.
srun --ntasks=1 --cpus-per-task="\${SLURM_CPUS_PER_TASK:-1}" --export=ALL --mpi=none --input=none --quiet \\
  "\${fathom[@]}" $retry --index "$indices" --hash "$hashes" > >(exec tee -a "$log") 2>&1 &
child=$!
[ "$signals" = 0 ] || kill -s USR2 "$child"

# A trapped signal ends \`wait\`, not what is waited for. 127 is bash's word for a process whose code it has told before.
code=127
while :; do
  before=$signals
  wait "$child"
  now=$?
  [ "$now" = 127 ] || code=$now
  [ "$signals" != "$before" ] || break
done
say "fathom run ended with exit code $code"

if [ "$code" = 0 ] || [ "$code" = 2 ]; then
  finish "$code"
elif [ "$code" = 130 ] || { [ "$signals" -gt 0 ] && [ "$code" -gt 128 ]; }; then
  [ "$requeues" -lt "$most_requeues" ] || finish 130
  requeues=$((requeues + 1))
  again 130
elif [ "$code" = 75 ]; then
  [ "$busy" -lt "$most_busy" ] || finish 75
  busy=$((busy + 1))
  again 75
else
  [ "$failures" -lt "$most_failures" ] || finish "$code"
  failures=$((failures + 1))
  again "$code"
fi
`;
}
