"""The name behind ``zenml pipeline run coti_experiments``; see ``coti_concept.py`` for how."""

import sys

from ops.quiet import quiet_terminal

quiet_terminal()

from ops.experiment_file import check_experiment_file  # noqa: E402
from ops.terminal import check_command_line  # noqa: E402

check_command_line(check_experiment_file)

from pipelines.experiments import coti_experiments  # noqa: E402

sys.modules[__name__] = coti_experiments  # type: ignore[assignment]
