"""`python -m flows.remote.repro STAGE`, on a worker: inputs from DVC's remote, the stage, its outputs to the remote.

Its exit codes are those of `flows.repro`; 75 when the remote stayed away.
"""

import logging
import sys

from flows import dvc_api, ends
from flows.repro import main as make


def main(name: str, project: dvc_api.Project | None = None) -> int:
    """project: as a host (flows/dvc_host.py) read it, which this process is a fork of."""
    from flows.remote import store

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with dvc_api.repository() as repo:
            store.bring(repo, name)
        code = make(name, project)
        if ends.tell(code, "").ok:
            with dvc_api.repository() as repo:
                store.push(repo, [name])
    except KeyboardInterrupt:
        return 130
    except (dvc_api.DvcException, OSError) as error:
        print(f"the DVC remote: {store.first_words(error)}", file=sys.stderr)
        return ends.TEMPORARY
    return code


if __name__ == "__main__":
    from tav.processes.ending import end_with_parent

    end_with_parent()
    sys.exit(main(sys.argv[1]))
