// A real Slurm of one node on loopback, from Debian's packages slurmctld, slurmd and slurm-client: its files in a temporary folder, no
// munge, no accounting, no root. For tests.

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Where Debian puts daemons is not on everybody's PATH. */
const path = `${process.env["PATH"]}:/usr/sbin`;

/** Whether all that is needed is installed. */
export const hasSlurm = ["slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun"].every(
  (program) => path.split(":").some((folder) => existsSync(join(folder, program))),
);

/** A cluster that runs. */
export interface Cluster {
  /** Its slurm.conf: what SLURM_CONF is to name. */
  readonly conf: string;
  /** Ends what it runs, and it. */
  stop(): Promise<void>;
}

/** Starts a cluster with `cpus` processors, whatever there are, and waits until it takes jobs. Those of partition `urgent` pre-empt others,
 *  which have 20 s to save. */
export async function startCluster({ cpus, maxArraySize }: { cpus: number; maxArraySize: number }): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), "fathom-slurm-"));
  const within = (name: string): string => join(folder, name);
  for (const name of ["state", "spool"]) mkdirSync(within(name));
  const [host] = hostname().split(".");
  const [port, nodePort] = await freePorts();
  const user = userInfo().username;
  const conf = within("slurm.conf");
  // cred_expire is how long a task waits that is queued again: 120 s where nothing is set, 5 s at least.
  writeFileSync(
    conf,
    `ClusterName=fathom
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${port}
SlurmdPort=${nodePort}
SlurmUser=${user}
SlurmdUser=${user}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
StateSaveLocation=${within("state")}
SlurmdSpoolDir=${within("spool")}
SlurmctldPidFile=${within("slurmctld.pid")}
SlurmdPidFile=${within("slurmd.pid")}
SlurmctldLogFile=${within("slurmctld.log")}
SlurmdLogFile=${within("slurmd.log")}
MaxArraySize=${maxArraySize}
KillWait=5
ReturnToService=2
NodeName=${host} NodeAddr=127.0.0.1 CPUs=${cpus} State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
`,
  );
  const env = { ...process.env, PATH: path, SLURM_CONF: conf };
  const daemons = ["slurmctld", "slurmd"].map((name) => spawn(name, ["-D", "-f", conf], { env, stdio: "ignore" }));
  const told = (program: string, ...args: string[]): string =>
    spawnSync(program, args, { env, encoding: "utf8" }).stdout;
  const cluster: Cluster = {
    conf,
    async stop() {
      told("scancel", "--full", "--signal=KILL", `--user=${user}`);
      told("scancel", `--user=${user}`);
      for (let i = 0; i < 40 && told("squeue", "--noheader").trim() !== ""; i++) await sleep(250);
      for (const daemon of daemons.reverse()) await ended(daemon);
    },
  };
  for (let i = 0; i < 120; i++) {
    if (told("sinfo", "--noheader", "--format=%T").trim() === "idle") return cluster;
    if (daemons.some(({ exitCode }) => exitCode !== null)) break;
    await sleep(250);
  }
  await cluster.stop();
  const logs = ["slurmctld.log", "slurmd.log"].map((name) => readFileSync(within(name), "utf8")).join("\n");
  throw new Error(`the cluster of ${conf} did not start:\n${logs}`);
}

async function ended(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const end = new Promise((resolve) => daemon.once("exit", resolve));
  daemon.kill("SIGTERM");
  await Promise.race([end, sleep(5000).then(() => daemon.kill("SIGKILL"))]);
}

/** Two ports of loopback that nobody listens on. */
async function freePorts(): Promise<number[]> {
  const servers = [createServer(), createServer()];
  const ports = servers.map(
    (server) =>
      new Promise<number>((resolve) =>
        server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)),
      ),
  );
  const found = await Promise.all(ports);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return found;
}
