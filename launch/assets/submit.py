"""What spark-submit is given: the `hvdcells` command, on the session that spark-submit has described.

spark-submit [OPTIONS] submit.py train DATASET RUN --workers 8
"""

from launch.cli import main

if __name__ == "__main__":
    main()
