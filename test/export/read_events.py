"""Reads an export as TensorBoard does: `tensorboard.py LOGDIR` prints what it finds as JSON (NaN by name)."""
import json, os, sys, threading, time, urllib.request
from tensorboard import program
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

logdir = sys.argv[1]
runs = {}
for name in sorted(os.listdir(logdir)):
    if not os.path.isdir(os.path.join(logdir, name)):
        continue
    events = EventAccumulator(os.path.join(logdir, name), size_guidance={"scalars": 0, "images": 0}).Reload()
    runs[name] = {
        "scalars": {tag: [[e.step, e.wall_time, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]},
        "images": {
            tag: [[e.step, e.width, e.height, e.encoded_image_string[1:4].decode()] for e in events.Images(tag)]
            for tag in events.Tags()["images"]
        },
    }

server = program.TensorBoard()
server.configure(argv=[None, "--logdir", logdir, "--port", "0", "--load_fast", "false"])
url = server.launch().rstrip("/")


def get(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=60))


deadline = time.time() + 90
while len(get("/data/runs")) < len(runs) and time.time() < deadline:
    time.sleep(0.2)
served = get("/data/plugin/scalars/tags")
experiment = get("/data/plugin/hparams/experiment", {})
groups = get(
    "/data/plugin/hparams/session_groups",
    {
        "startIndex": 0,
        "sliceSize": 100,
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"metric": info["name"]} for info in experiment.get("metricInfos", [])],
    },
)
print(json.dumps({"runs": runs, "served": served, "experiment": experiment, "groups": groups["sessionGroups"]}))
sys.stdout.flush()
os._exit(0)  # the server's thread has no end of its own
