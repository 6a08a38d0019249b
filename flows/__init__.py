"""When and where the stages of dvc.yaml run: the same DAG through Prefect, with retries, logs and a page to watch.

What is stale is DVC's word, and what a stage does is tav's. Nothing here imports torch.

    __main__.py  `tav run`, `python -m flows`: arguments, and what is told before Prefect is needed
    pipeline.py  the same by its older name, `python -m flows.pipeline`
    local.py     the flow on this machine and its task: here and in remote/ alone prefect is imported
    dag.py       dvc.yaml's graph, what is stale, `meta:` of a stage
    schedule.py  which stage starts when, with which cores and GPU, and which never will
    process.py   a stage as a child process that never outlives its parent, by way of
    supervisor.py, which stops a command when who started it is gone
    repro.py     that child: has DVC make one stage, and tells by its exit code how that ended
    ends.py      the table of those codes: what each means, and whether another try can cure it
    dvc_host.py  one DVC that reads the project once, and makes each stage in a fork, which
    front.py     stands for, as a child
    dvc_api.py   all that we use of DVC's Python interface, and
    dvc_once.py  what DVC does anew for each stage, done once: parameters, locks, hashes, and in
    dvc_lock.py  dvc.lock
"""
