"""Serves a model's folder until it is stopped, for `bench_serving --grpc`.

`python -m tests.serving.fake_server NAME FOLDER` prints its address.
With JD_TF_MODEL_SERVER set that is the real server.
"""

import sys
import time
from pathlib import Path

from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import description, model_server


def main():
    name, folder = sys.argv[1:]
    versions = [int(p.name) for p in Path(folder).iterdir() if p.name.isdigit()]
    config = model_config(name, Path(folder).resolve(), (max(versions),))
    options = {"tensor_content": True, "optimize": True, "max_threads": 128}
    with model_server(config, **options) as server:
        print(description())
        print(server.address, flush=True)
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main()
