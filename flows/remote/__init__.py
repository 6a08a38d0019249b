"""The stages on other machines. Git carries what to run and what came of it, DVC's remote carries bytes.

parts.py      which stages go to workers, a part for each video, and to which pool
git.py        git commands, their errors in one line
snapshot.py   the working tree as a commit that touches neither branch nor index, and refs/tav/*
workspace.py  a worker's worktree of that commit, with the machine's shared DVC cache
published.py  what a part has made so far (its dvc.lock, its checkpoints), as a commit of its own
lockfile.py   the entries of a dvc.lock put into another, as DVC would have written them
store.py      DVC's remote: what is pushed and pulled for a stage
repro.py      the child that makes one stage on a worker: inputs in, `flows.repro`, outputs out
checkpoints.py a tuning's checkpoints to the remote and back
secret.py     what must not stand in a log
worker.py     the flow that a worker runs: one part
driver.py     the flow that hands out the parts and gathers what came of them
server.py     pools, deployments and automations on Prefect's server; `tav worker`
"""
