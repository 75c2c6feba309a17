#!/bin/sh
# wandb 0.31.0, scikit-learn 1.7.2: once wandb's service process is gone, `import sklearn` fails.
#
# Guess: if the service process of a run (wandb-core) dies, for instance because memory ran out, calls of wandb fail and
# the rest of the program does not notice, the less so in a run with mode="offline".
# Behaviour: wandb has put hooks on the imports of some packages, to count their use. A hook writes to the service process
# within the import, so `import sklearn` raises ConnectionResetError (or BrokenPipeError), in a module that has nothing to
# do with wandb. The run's own `log` raises nothing at first.
# Why it matters here: training imports libraries late, and a training whose tracker is lost should continue. The hooks are
# removed after a run has begun, since no setting turns them off.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check wandb==0.31.0 scikit-learn==1.7.2 psutil==7.2.2
cd "$folder"
WANDB_SILENT=true WANDB_ERROR_REPORTING=false timeout 100 "$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import os
import time

import psutil
import wandb

run = wandb.init(mode="offline", project="p", settings=wandb.Settings(console="off", x_disable_meta=True))
services = [child for child in psutil.Process().children(recursive=True) if "wandb-core" in child.name()]
print("service processes:", len(services))
for service in services:
    service.kill()
psutil.wait_procs(services, 10)
time.sleep(1)
try:
    import sklearn

    seen = f"imported sklearn {sklearn.__version__}"
except Exception as error:
    seen = f"{type(error).__module__}.{type(error).__name__}"
print("import sklearn:", seen, flush=True)
expected = ("builtins.ConnectionResetError", "builtins.BrokenPipeError")
os._exit(0 if services and seen in expected else 1)
PYTHON
