"""A Parquet file that would run code when it is read, does not."""

import subprocess
import sys

SCRIPT = """
import sys
import pyarrow as pa, pyarrow.parquet as pq

class Hostile(pa.PyExtensionType):
    def __init__(self):
        super().__init__(pa.int64())
    def __reduce__(self):
        return (print, ("code has run",))

path = sys.argv[1]
column = pa.ExtensionArray.from_storage(Hostile(), pa.array([1]))
pq.write_table(pa.table({"column": column}), path)

def read():
    try:
        pq.read_table(path)
    except Exception as error:
        print("refused:", type(error).__name__)

read()
print("with the hotfix")
import MODULE
read()
"""


def test_pyarrow_as_it_is_runs_code_of_a_file_and_with_the_hotfix_refuses_it(tmp_path):
    command = [
        sys.executable,
        "-c",
        SCRIPT.replace("MODULE", "hvdcells.storage.parquet"),
        str(tmp_path / "hostile.parquet"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = done.stdout.split("with the hotfix")
    assert "code has run" in before
    assert "code has run" not in after
    assert "refused: RuntimeError" in after
